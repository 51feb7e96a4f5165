// The works of the guest `bench_children`, for JavaScript runtimes: one sample a line, in ns.
const { fork, spawn, spawnSync } = require('node:child_process');

const BATCH = 500;
const [work, ...numbers] = process.argv.slice(2);
const now = () => process.hrtime.bigint();
const print = (start, parts = 1) => console.log(String((now() - start) / BigInt(parts)));
const message = (child) => new Promise((resolve) => child.once('message', resolve));
const exited = (child) => new Promise((resolve) => child.once('exit', resolve));
const start = (part, serialization = 'json') => fork(__filename, ['child', part], { serialization });

const children = {
  exit: () => {},
  hello: () => process.send('hello'),
  echo: () => {
    process.on('message', (text) => process.send(text));
    process.send('ready');
  },
  measure: () => {
    process.on('message', (text) => process.send(String(text.length)));
    process.send('ready');
  },
};

async function repeat(count, once) {
  for (let i = 0; i < count; i++) {
    const begin = now();
    await once();
    print(begin);
  }
}

const works = {
  child: (part) => children[part](),
  sync: (count) => repeat(count, () => {
    if (spawnSync('/bin/true').status !== 0) throw new Error('it failed');
  }),
  spawn: (count) => repeat(count, () => exited(spawn('/bin/true'))),
  exit: (count) => repeat(count, () => exited(start('exit'))),
  message: (count) => repeat(count, () => message(start('hello'))),
  async ping(batches, mode) {
    const child = start('echo', mode);
    await message(child);
    const text = 'x'.repeat(32);
    for (let i = 0; i < batches; i++) {
      const begin = now();
      await new Promise((resolve) => {
        let left = BATCH;
        const answer = () => {
          if (--left > 0) return child.send(text);
          child.off('message', answer);
          resolve();
        };
        child.on('message', answer);
        child.send(text);
      });
      print(begin, BATCH);
    }
    child.disconnect();
  },
  async big(count, bytes, mode) {
    const child = start('measure', mode);
    await message(child);
    const text = 'x'.repeat(Number(bytes));
    for (let i = 0; i < count; i++) {
      const begin = now();
      child.send(text);
      const measured = await message(child);
      print(begin);
      if (measured !== bytes) throw new Error('something is missing');
    }
    child.disconnect();
  },
};

works[work](...numbers);
