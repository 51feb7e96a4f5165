// workers.cjs <work> <count>...: the works of the guest bench_workers. Prints times in ns, rates in things a second,
// sizes in bytes, one sample a line.
const threads = require('node:worker_threads');
const { Worker, BroadcastChannel, MessageChannel, isMainThread, parentPort, workerData } = threads;
const { setTimeout: sleep } = require('node:timers/promises');

const BATCH = 500;
const now = () => process.hrtime.bigint();
const start = (work, options = {}) => new Worker(__filename, { workerData: work, ...options });
const next = (emitter, event) => new Promise((resolve) => emitter.once(event, resolve));
const printSince = (from, count = 1) => console.log(String((now() - from) / BigInt(count)));

async function started(work) {
  const worker = start(work);
  await next(worker, 'message');
  return worker;
}

const order = {
  id: 2 ** 40,
  customer: 'somebody with a name of usual length',
  is_paid: true,
  items: Array.from({ length: 18 }, (_, number) => ({
    name: `a thing of kind ${String(number).padStart(4, '0')}`, count: number, price: number * 1.25,
  })),
};

async function pingPong(batches, value) {
  const worker = start('echo');
  for (let batch = 0; batch <= batches; batch++) {
    let left = BATCH;
    const done = new Promise((resolve) => {
      worker.removeAllListeners('message');
      worker.on('message', (answer) => (--left === 0 ? resolve() : worker.postMessage(answer)));
    });
    const from = now();
    worker.postMessage(value);
    await done;
    if (batch > 0) printSince(from, BATCH);
  }
  await worker.terminate();
}

const works = {
  async exit(count) {
    for (let run = 0; run < count; run++) {
      const from = now();
      await next(start('empty'), 'exit');
      printSince(from);
    }
  },
  async first(count) {
    for (let run = 0; run < count; run++) {
      const from = now();
      const worker = await started('hello');
      printSince(from);
      await next(worker, 'exit');
    }
  },
  async live(count, stay) {
    await (await started('live')).terminate();
    const before = process.memoryUsage().rss;
    const from = now();
    const workers = Array.from({ length: count }, () => start('live'));
    await Promise.all(workers.map((worker) => next(worker, 'message')));
    printSince(from);
    console.log(Math.round((process.memoryUsage().rss - before) / count));
    await sleep(stay);
    process.exit(0);
  },
  ping: (batches) => pingPong(batches, '\u0007'.repeat(32)),
  value: (batches) => pingPong(batches, order),
  async flood(rounds, messages) {
    const worker = start('count');
    for (let round = 0; round <= rounds; round++) {
      const from = now();
      for (let number = 1; number <= messages; number++) worker.postMessage(number);
      worker.postMessage(0);
      const count = await next(worker, 'message');
      if (round > 0) console.log((count / (Number(now() - from) * 1e-9)).toFixed(0));
    }
    await worker.terminate();
  },
  async broadcast(rounds, members) {
    const workers = [];
    for (let member = 0; member < members; member++) workers.push(await started('join'));
    const channel = new BroadcastChannel('bench');
    for (let round = 0; round <= rounds; round++) {
      const all = Promise.all(workers.map((worker) => next(worker, 'message')));
      const from = now();
      channel.postMessage(round);
      await all;
      if (round > 0) printSince(from);
    }
    process.exit(0);
  },
  'terminate-busy': (count) => terminate('busy', count),
  'terminate-parked': (count) => terminate('parked', count),
  async drift(count) {
    for (let run = 1; run <= count; run++) {
      await (await started('parked')).terminate();
      if (run === count / 10 || run === count) console.log(process.memoryUsage().rss);
    }
  },
  async thread(batches) {
    const worker = await started('listen');
    for (let batch = 0; batch <= batches; batch++) {
      const from = now();
      for (let number = 0; number < BATCH; number++) await threads.postMessageToThread(worker.threadId, number);
      if (batch > 0) printSince(from, BATCH);
    }
    await worker.terminate();
  },
};

Object.assign(works, {
  async transfer(batches, length) {
    const transfers = 100;
    const worker = start('buffer');
    for (let batch = 0; batch <= batches; batch++) {
      let buffer = new ArrayBuffer(length);
      new Uint8Array(buffer)[length - 1] = 7;
      const from = now();
      for (let transfer = 0; transfer < transfers / 2; transfer++) {
        worker.postMessage(buffer, [buffer]);
        buffer = await next(worker, 'message');
      }
      if (batch > 0) printSince(from, transfers);
    }
    await worker.terminate();
  },
  wake: (batches) => wake(batches, false),
  'wake-busy': (batches) => wake(batches, true),
  async counter(rounds, additions) {
    const count = 2;
    for (let round = 0; round <= rounds; round++) {
      const cells = new Int32Array(new SharedArrayBuffer(4096));
      const workers = Array.from({ length: count }, () => start('add'));
      for (const worker of workers) worker.postMessage([cells, additions]);
      awaitValue(cells, 0, count);
      const from = now();
      Atomics.store(cells, 16, 1);
      Atomics.notify(cells, 16);
      awaitValue(cells, 32, count);
      if (round > 0) console.log((Number(now() - from) / additions).toFixed(3));
      for (const worker of workers) await worker.terminate();
    }
  },
});

async function wake(batches, isBusy) {
  const cells = new Int32Array(new SharedArrayBuffer(4096));
  const worker = start('wake');
  worker.postMessage(cells);
  await next(worker, 'message');
  for (let batch = 0; batch <= batches; batch++) {
    const from = now();
    for (let turn = 0; turn < BATCH; turn++) {
      setValue(cells, 0, 1);
      while (isBusy && Atomics.load(cells, 0) === 1);
      awaitValue(cells, 0, 0);
    }
    if (batch > 0) printSince(from, isBusy ? BATCH : 2 * BATCH);
  }
  await worker.terminate();
}

function awaitValue(cells, cell, value) {
  for (let seen; (seen = Atomics.load(cells, cell)) !== value;) Atomics.wait(cells, cell, seen);
}

function setValue(cells, cell, value) {
  Atomics.store(cells, cell, value);
  Atomics.notify(cells, cell, 1);
}

async function terminate(work, count) {
  for (let run = 0; run < count; run++) {
    const worker = await started(work);
    await sleep(20);
    const from = now();
    await worker.terminate();
    printSince(from);
  }
}

const workerWorks = {
  empty() {},
  hello: () => parentPort.postMessage(1),
  live() {
    parentPort.on('message', () => {});
    parentPort.postMessage(1);
  },
  echo: () => parentPort.on('message', (value) => parentPort.postMessage(value)),
  count() {
    let count = 0;
    parentPort.on('message', (number) => {
      if (number > 0) {
        count++;
      } else {
        parentPort.postMessage(count);
        count = 0;
      }
    });
  },
  join() {
    new BroadcastChannel('bench').onmessage = () => parentPort.postMessage(1);
    parentPort.postMessage(0);
  },
  busy() {
    parentPort.postMessage(1);
    for (;;);
  },
  parked() {
    parentPort.postMessage(1);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  },
  buffer: () => parentPort.on('message', (buffer) => parentPort.postMessage(buffer, [buffer])),
  wake: () => parentPort.once('message', (cells) => {
    parentPort.postMessage(1);
    for (;;) {
      awaitValue(cells, 0, 1);
      setValue(cells, 0, 0);
    }
  }),
  add: () => parentPort.once('message', ([cells, additions]) => {
    Atomics.add(cells, 0, 1);
    Atomics.notify(cells, 0);
    awaitValue(cells, 16, 1);
    for (let addition = 0; addition < additions; addition++) Atomics.add(cells, 64, 1);
    Atomics.add(cells, 32, 1);
    Atomics.notify(cells, 32);
  }),
  listen() {
    process.on('workerMessage', () => {});
    parentPort.on('message', () => {});
    parentPort.postMessage(1);
  },
};

if (isMainThread) works[process.argv[2]](...process.argv.slice(3).map(Number));
else workerWorks[workerData]();
