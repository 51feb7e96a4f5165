// compute.js <module> <export> <rounds>: prints the time of each of ten calls in ns.
const fs = require('node:fs');
const [path, name, rounds] = process.argv.slice(2);
const { exports: functions } = new WebAssembly.Instance(new WebAssembly.Module(fs.readFileSync(path)));

// Calls that let the engine find its best code.
for (let run = 0; run < 3; run++) functions[name](Number(rounds));
for (let run = 0; run < 10; run++) {
  const start = process.hrtime.bigint();
  functions[name](Number(rounds));
  console.log(String(process.hrtime.bigint() - start));
}
