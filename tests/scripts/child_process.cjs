// The guest programs about child processes, for Node: the same command lines, the same traces. Called as
// `node child_process.cjs <program> [words…] [name=value…] -- <command> [arguments…]`.
'use strict';

const fs = require('fs');
const util = require('util');
const child_process = require('child_process');
const { spawn } = child_process;

const [program, ...given] = process.argv.slice(2);
const end = given.indexOf('--');
const before = end < 0 ? given : given.slice(0, end);
const words = before.filter((word) => !word.includes('='));
const [file, ...args] = end < 0 ? ['true'] : given.slice(end + 1);
const settings = before.filter((word) => word.includes('=')).map((word) => {
  const at = word.indexOf('=');
  return [word.slice(0, at), word.slice(at + 1)];
});
const has = (word) => words.includes(word);
const print = (line) => fs.writeSync(1, `${line}\n`);

/** The value of a setting. */
function value(text) {
  const within = (open, close) => (text.startsWith(open) && text.endsWith(close) && text.length > 1 ? text.slice(1, -1) : undefined);
  const list = within('[', ']');
  if (list !== undefined) return list.split(',').filter(Boolean).map(value);
  const members = within('{', '}');
  if (members !== undefined) {
    const pairs = members.split(';').filter((member) => member.includes('='));
    return Object.fromEntries(pairs.map((pair) => [pair.slice(0, pair.indexOf('=')), value(pair.slice(pair.indexOf('=') + 1))]));
  }
  const quoted = within("'", "'");
  if (quoted !== undefined) return quoted;
  const known = { undefined, null: null, true: true, false: false, Infinity, NaN };
  if (text in known) return known[text];
  return text !== '' && !Number.isNaN(Number(text)) ? Number(text) : text;
}

function options(more = {}) {
  const all = Object.fromEntries(settings.map(([name, text]) => [name, value(text)]));
  // What stands for a URL on the command line of a guest.
  if (typeof all.cwd === 'string' && all.cwd.includes('://')) all.cwd = new URL(all.cwd);
  return { ...all, ...more };
}

// Values as Rust shows them.
const text = (string) => JSON.stringify(string).replaceAll('\\u0000', '\\0');
const list = (strings) => `[${strings.map(text).join(', ')}]`;
const show = (one) => (typeof one === 'string' ? text(one) : String(one));
const maybe = (one) => (one === null || one === undefined ? 'None' : `Some(${show(one)})`);
const ended = (code, signal) => `${code} ${signal}`;

function shown(data) {
  const kind = typeof data === 'string' ? 'text' : 'bytes';
  const length = Buffer.byteLength(data);
  const string = data.toString();
  return length > 200 ? `${kind} of ${length} bytes, ${string.length} units` : `${kind} ${text(string)}`;
}

function fields(error) {
  const code = typeof error.code === 'string' ? error.code : '-';
  let line = `${error.name} ${code} ${error.message}`;
  if (typeof error.errno === 'number') line += ` errno=${error.errno}`;
  for (const name of ['syscall', 'path']) if (error[name] !== undefined) line += ` ${name}=${error[name]}`;
  if (error.spawnargs) line += ` spawnargs=${list(error.spawnargs)}`;
  if (error.cause !== undefined) line += ` cause=${error.cause.message ?? error.cause}`;
  return line;
}

/** What a call gives, or what it throws. */
function outcome(call) {
  try {
    return show(call());
  } catch (error) {
    return fields(error);
  }
}

function traceEvents(child) {
  child.on('spawn', () => print('spawn'));
  child.on('error', (error) => print(`error ${fields(error)}`));
  child.on('disconnect', () => print(`disconnect connected=${child.connected}`));
  child.on('exit', (code, signal) => {
    print(`exit ${ended(code, signal)} code=${maybe(child.exitCode)} signal=${maybe(child.signalCode)}`);
  });
  child.on('close', (code, signal) => print(`close ${ended(code, signal)}`));
}

function trace(child) {
  child.stdio.forEach((stream, fd) => {
    if (!stream?.readable && !stream?.readableEnded) return;
    const chunks = [];
    stream.on('data', (chunk) => {
      if (chunks.length === 0) print(`fd ${fd} data`);
      chunks.push(chunk);
    });
    stream.on('end', () => print(`fd ${fd} end ${shown(Buffer.concat(chunks))}`));
  });
  traceEvents(child);
}

function childSpawn() {
  const child = spawn(file, args, options());
  if (has('facts')) {
    print(`pid ${child.pid !== undefined}`);
    print(`spawnfile ${child.spawnfile}`);
    print(`spawnargs ${list(child.spawnargs)}`);
    print(`connected ${child.connected} channel ${child.channel !== undefined}`);
    print(`exitCode ${maybe(child.exitCode)} signalCode ${maybe(child.signalCode)} killed ${child.killed}`);
    const kind = (stream, fd) => (stream === null ? 'null' : fd > 2 ? 'duplex' : fd > 0 ? 'readable' : 'writable');
    print(`stdio ${list(child.stdio.map(kind))}`);
  }
  (has('noread') ? traceEvents : trace)(child);
  if (child.stdin) {
    child.stdin.on('error', (error) => print(`stdin error ${error.code}`));
    if (has('echo')) child.stdin.write('a line\n');
    if (has('echo') || has('end')) child.stdin.end();
  }
  if (has('unref')) child.unref();
  print('called');
}

function childExec() {
  const controller = new AbortController();
  const all = options({ signal: controller.signal });
  const finish = (error, stdout, stderr) => {
    if (!error) {
      print(`ok stdout ${shown(stdout)} stderr ${shown(stderr)}`);
      return;
    }
    print(`error ${fields(error)}`);
    // What Node leaves out of an error is none there.
    print(`code ${error.code === undefined || error.code === null ? 'None' : `Some("${error.code}")`} ` +
      `killed ${error.killed ?? false} signal ${maybe(error.signal)}`);
    print(`cmd ${error.cmd ?? [file, ...args].join(' ')}`);
    print(`stdout ${shown(stdout)} stderr ${shown(stderr)}`);
  };
  const [form] = words;
  if (form === 'callback' || form === 'callback_file') {
    const child = form === 'callback'
      ? child_process.exec(file, all, finish)
      : child_process.execFile(file, args, all, finish);
    if (form === 'callback') print(`spawnargs ${list(child.spawnargs)}`);
    return;
  }
  const promise = form === 'exec'
    ? util.promisify(child_process.exec)(file, all)
    : util.promisify(child_process.execFile)(file, args, all);
  print(`child ${promise.child.pid !== undefined}`);
  if (has('abort')) controller.abort('enough');
  promise.then(({ stdout, stderr }) => finish(null, stdout, stderr), (error) => finish(error, error.stdout, error.stderr));
}

function childSync() {
  const data = (one) => (one === null ? 'null' : shown(one));
  const result = (one) => {
    print(`pid ${one.pid > 0} status ${maybe(one.status)} signal ${maybe(one.signal)}`);
    print(`output ${one.output === null ? 'None' : `Some(${list(one.output.map(data))})`}`);
    print(`stdout ${data(one.stdout)} stderr ${data(one.stderr)}`);
    if (one.error) print(`error ${fields(one.error)}`);
  };
  const all = options();
  if ('input' in all) all.input = settings.find(([name]) => name === 'input')[1];
  if (words[0] === 'spawn_sync') {
    result(child_process.spawnSync(file, args, all));
    return;
  }
  try {
    const stdout = words[0] === 'exec_sync'
      ? child_process.execSync(file, all)
      : child_process.execFileSync(file, args, all);
    print(`ok ${shown(stdout)}`);
  } catch (error) {
    print(`failed ${fields(error)}`);
    if ('pid' in error) result({ ...error, error: error.error });
  }
}

function childKill() {
  const controller = new AbortController();
  const { signal } = controller;
  const start = (more) => {
    const child = spawn(file, args, options({ stdio: 'ignore', ...more }));
    traceEvents(child);
    return child;
  };
  const number = (word) => (/^-?\d+$/.test(word) ? Number(word) : word);
  const scenarios = {
    kill() {
      const child = start();
      const result = outcome(() => child.kill(number(words[1])));
      print(`kill ${result} killed ${child.killed}`);
      if (result !== 'true' || words[1] === '0') print(`kill ${outcome(() => child.kill('SIGKILL'))}`);
    },
    after() {
      const child = start();
      child.on('close', () => print(`kill ${outcome(() => child.kill())} killed ${child.killed}`));
    },
    dispose() {
      const child = start();
      child[Symbol.dispose]();
      child[Symbol.dispose]();
      print(`killed ${child.killed}`);
    },
    abort() { start({ signal }).on('spawn', () => controller.abort('the reason')); },
    abort_before() {
      controller.abort('the reason');
      start({ signal });
      print('called');
    },
    abort_late() { start({ signal }).on('exit', () => controller.abort()); },
    wait() { start(); },
  };
  scenarios[words[0]]();
}

function childErrors() {
  const [, name, given] = words;
  const special = { nul: 'a\0b', '[nul]': ['a\0b'], '{A=nul}': { A: 'a\0b' } };
  const option = given in special ? special[given] : value(given);
  const all = { [name]: name === 'cwd' && String(option).includes('://') ? new URL(option) : option };
  print(outcome(() => {
    spawn('true', [], all).on('error', () => {});
    return true;
  }).replace(/^true$/, 'accepted'));
}

/** The parent of a fork of this script, or of the setting `module`. */
function childFork() {
  const { module = __filename, ...all } = options();
  const start = (...part) => child_process.fork(module, ['child', ...part.map(String)], all);
  const numbers = (child, count, last) => {
    child.on('message', (number) => {
      print(`message ${number}`);
      if (number === last) child.disconnect();
    });
    for (let number = 0; number < count; number += 1) child.send(number);
  };
  const traced = (...part) => {
    const child = start(...part);
    traceEvents(child);
    return child;
  };
  const scenarios = {
    echo() {
      const child = traced('echo');
      child.on('message', (message) => {
        print(`message ${message}`);
        if (message !== 'two') return;
        child.disconnect();
        print(`disconnected connected=${child.connected}`);
      });
      print(`send ${child.send('one')} ${child.send('two')}`);
    },
    closed() {
      const child = traced('echo');
      child.disconnect();
      print(`connected ${child.connected} channel ${child.channel !== null}`);
      print(`send Ok(${child.send('late')})`);
      const result = child.send('late', (error) => print(`callback ${error ? fields(error) : 'ok'}`));
      print(`send_with Ok(${result})`);
      child.disconnect();
      print('again Ok(())');
      print('called');
    },
    last_words() {
      let seen = 0;
      const child = start(...words);
      child.on('message', ([number, length, filler]) => {
        if (number !== seen || filler.length !== length) print(`out of order ${number}`);
        seen += 1;
      });
      child.on('disconnect', () => print(`messages ${seen}`));
      traceEvents(child);
    },
    unheard() { traced('last_words', 'return', 5, 10); },
    late() { numbers(traced(...words), 3, 2); },
    failing_child() { numbers(start('failing'), 9, 8); },
    signal() { traced(...words); },
    listen() { traced(...words); },
  };
  scenarios[words[0]]();
}

/** The child of a fork. */
function forked() {
  const [part, ...rest] = words;
  const echo = () => process.on('message', (message) => process.send(message));
  const parts = {
    echo() {
      echo();
      process.on('disconnect', () => print(`child disconnect Ok(Some(${process.connected}))`));
    },
    last_words([how, count, bytes]) {
      const last = Number(count) - 1;
      // Node may end before all is written: it says when that is done.
      const end = () => {
        if (how === 'exit') process.exit(7);
        if (how === 'disconnect') process.disconnect();
      };
      for (let number = 0; number <= last; number += 1) {
        const length = (number * 7919) % (Number(bytes) + 1);
        process.send([number, length, 'x'.repeat(length)], number === last ? end : () => {});
      }
    },
    late([ms]) { setTimeout(echo, ms); },
    failing() {
      process.on('uncaughtException', () => {});
      process.on('message', (number) => {
        if (number % 3 === 0) throw new Error('one of three');
        process.send(number);
      });
    },
    signal([name]) { process.kill(process.pid, name); },
    listen([how]) {
      process.on('message', () => {});
      if (how === 'unref') process.channel.unref();
    },
  };
  parts[part](rest);
}

({
  child_spawn: childSpawn, child_exec: childExec, child_sync: childSync, child_kill: childKill, child_errors: childErrors,
  child_fork: childFork, child: forked,
})[program]();
