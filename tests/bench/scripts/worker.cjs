// Prints how long an empty worker takes from its creation to its exit, in ns.
const { Worker } = require('node:worker_threads');

async function main() {
  for (let run = 0; run < 55; run++) {
    const start = process.hrtime.bigint();
    await new Promise((resolve) => new Worker('', { eval: true }).on('exit', resolve));
    if (run >= 5) console.log(String(process.hrtime.bigint() - start));
  }
}
main();
