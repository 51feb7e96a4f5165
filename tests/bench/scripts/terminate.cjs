// terminate.js busy|parked: prints how long it takes to terminate a worker, in ns.
const { Worker } = require('node:worker_threads');
const { setTimeout: sleep } = require('node:timers/promises');
const work = process.argv[2] === 'busy' ? 'for (;;);' : 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);';

async function main() {
  for (let run = 0; run < 50; run++) {
    const worker = new Worker(work, { eval: true });
    await new Promise((resolve) => worker.on('online', resolve));
    await sleep(20);
    const start = process.hrtime.bigint();
    await worker.terminate();
    console.log(String(process.hrtime.bigint() - start));
  }
}
main();
