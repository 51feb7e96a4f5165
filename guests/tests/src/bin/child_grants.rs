//! What a child may do, whatever it is started with: `child_grants spawn|sync|fork [settings…] -- words of the child…`
//! starts this program again (or the setting `module`), and `child_grants probe <scope|scope@reference…>` prints what this
//! one may do. Words of a child may start another one. Other probes: `argv`, `variables`, `read@path`, `write@path`, `exec@command`,
//! `drop@scope`, `set@name`. Those that stand before a start are done first.

use nodule_guest_tests::children::{Configure, Request, fields, myself};
use nodule_sdk::child_process::{self, ChildProcess, ForkOptions, SpawnOptions, SpawnSyncOptions, Stdio};
use nodule_sdk::process::{self, permission};
use nodule_sdk::{Error, Result};

fn code<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => "ok".to_owned(),
        Err(error) => error.code().unwrap_or("-").to_owned(),
    }
}

fn probe(word: &str) -> Result<String> {
    let (what, reference) = match word.split_once('@') {
        Some((what, reference)) => (what, Some(reference)),
        None => (word, None),
    };
    let path = reference.unwrap_or_default();
    Ok(match what {
        "argv" => format!("{:?} {:?}", process::argv(), process::exec_argv()),
        "variables" => {
            let mut variables: Vec<_> = std::env::vars().collect();
            variables.sort();
            format!("{variables:?}")
        }
        "read" => code(std::fs::read(path).map_err(Error::from)),
        "write" => code(std::fs::write(path, "x").map_err(Error::from)),
        "exec" => {
            let options = SpawnSyncOptions::new().stdio(Stdio::Inherit);
            code(child_process::spawn_sync(path, &[], options))
        }
        "set" => code(process::env::set(path, "x")),
        "drop" => code(permission::drop(path, None)),
        scope => permission::has(scope, reference)?.to_string(),
    })
}

/// Prints what becomes of a child.
async fn follow(child: Result<ChildProcess>) -> Result<()> {
    match child {
        Err(error) => println!("refused {}", fields(&error)),
        Ok(child) => {
            child.on_error(|error| println!("error {}", fields(error)));
            let status = child.wait().await?;
            println!("ended {:?} {:?}", status.code, status.signal);
        }
    }
    Ok(())
}

#[nodule_sdk::main]
async fn main() -> Result<()> {
    let mut request = Request::read();
    let named = request.settings.iter().position(|(name, _)| name == "module");
    let module = named.map_or_else(myself, |index| request.settings.remove(index).1);
    let words = request.command.clone();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    for word in request.words.iter().skip(1) {
        println!("{word}: {}", probe(word)?);
    }
    match request.word(0) {
        "probe" => {}
        "spawn" => {
            let inherited = SpawnOptions::new().stdio(Stdio::Inherit);
            let options = request
                .settings()
                .fold(inherited, |options, (name, value)| options.set(name, value));
            follow(child_process::spawn(&module, &words, options)).await?;
        }
        "fork" => follow(child_process::fork(&module, &words, request.options::<ForkOptions>())).await?,
        "sync" => {
            let inherited = SpawnSyncOptions::new().stdio(Stdio::Inherit);
            let options = request
                .settings()
                .fold(inherited, |options, (name, value)| options.set(name, value));
            match child_process::spawn_sync(&module, &words, options) {
                Ok(result) => println!("ended {:?} {:?}", result.status, result.signal),
                Err(error) => println!("refused {}", fields(&error)),
            }
        }
        other => println!("unknown {other}"),
    }
    Ok(())
}
