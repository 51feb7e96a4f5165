// stdout.js large <chunk bytes> <total bytes> | lines <count>
const fs = require('node:fs');
const [kind, first, second] = process.argv.slice(2);

function writeAll(data) {
  let buffer = Buffer.from(data);
  while (buffer.length > 0) buffer = buffer.subarray(fs.writeSync(1, buffer));
}

if (kind === 'large') {
  const chunk = Buffer.alloc(Number(first), 'x');
  for (let written = 0; written < Number(second); written += chunk.length) writeAll(chunk);
} else {
  for (let line = 0; line < Number(first); line++) writeAll(`line ${String(line).padStart(10, '0')}\n`);
}
