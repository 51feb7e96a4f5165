// timer.js <busy workers> <times> <ms>: prints how late each timer is, in ns.
const { Worker } = require('node:worker_threads');
const [busy, times, ms] = process.argv.slice(2).map(Number);

async function main() {
  const workers = [];
  for (let worker = 0; worker < busy; worker++) {
    const started = new Worker('for (;;);', { eval: true });
    await new Promise((resolve) => started.on('online', resolve));
    workers.push(started);
  }
  for (let time = 0; time < times; time++) {
    const start = process.hrtime.bigint();
    await new Promise((resolve) => setTimeout(resolve, ms));
    const late = process.hrtime.bigint() - start - BigInt(ms) * 1000000n;
    console.log(String(late > 0n ? late : 0n));
  }
  for (const worker of workers) await worker.terminate();
}
main();
