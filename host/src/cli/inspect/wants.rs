//! Which grants the imports of a module hint at. An import says what a module could do, not that it will.

use serde::Serialize;

use super::report::Import;

/// A grant that a module may want.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Want {
    /// The flag of `nodule run`.
    pub flag: &'static str,
    /// What for.
    pub reason: &'static str,
    /// The imports that hint at it.
    pub imports: Vec<String>,
}

const PROCESS: &str = nodule_abi::imports::namespace::process;
const CHILD_PROCESS: &str = nodule_abi::imports::namespace::child_process;
const WASI: &str = "wasi_snapshot_preview1";

struct Hint {
    flag: &'static str,
    reason: &'static str,
    namespace: &'static str,
    names: &'static [&'static str],
}

const HINTS: &[Hint] = &[
    Hint {
        flag: "--dir=DIR[::GUEST][:ro]",
        reason: "to open files and directories",
        namespace: WASI,
        names: &[
            "path_create_directory",
            "path_filestat_get",
            "path_filestat_set_times",
            "path_link",
            "path_open",
            "path_readlink",
            "path_remove_directory",
            "path_rename",
            "path_symlink",
            "path_unlink_file",
        ],
    },
    Hint {
        flag: "--dir=DIR[::GUEST][:ro]",
        reason: "to change the directory or to read an env file",
        namespace: PROCESS,
        names: &["chdir", "load_env_file"],
    },
    Hint {
        flag: "--env KEY=VALUE or --allow-env=KEY",
        reason: "to read environment variables",
        namespace: WASI,
        names: &["environ_get"],
    },
    Hint {
        flag: "--env KEY=VALUE or --allow-env=KEY",
        reason: "to read environment variables",
        namespace: PROCESS,
        names: &["env_get", "env_all"],
    },
    Hint {
        flag: "--allow-sys",
        reason: "to read or set user and group ids",
        namespace: PROCESS,
        names: &[
            "getuid",
            "geteuid",
            "getgid",
            "getegid",
            "getgroups",
            "setuid",
            "seteuid",
            "setgid",
            "setegid",
            "setgroups",
            "initgroups",
        ],
    },
    Hint {
        flag: "--allow-signal",
        reason: "to signal processes that are not its own",
        namespace: PROCESS,
        names: &["kill"],
    },
    Hint {
        flag: "--allow-dlopen",
        reason: "to load side modules",
        namespace: PROCESS,
        names: &["dlopen"],
    },
    Hint {
        flag: "--allow-run=FILE or --allow-child",
        reason: "to replace itself by a program or by another module",
        namespace: PROCESS,
        names: &["execve"],
    },
    Hint {
        flag: "--allow-run=FILE or --allow-child",
        reason: "to start programs of the system or other modules",
        namespace: CHILD_PROCESS,
        names: &["spawn", "spawn_sync"],
    },
];

/// What a module with these imports may want, a grant at a time.
pub fn of(imports: &[Import]) -> Vec<Want> {
    let mut wants: Vec<Want> = Vec::new();
    for hint in HINTS {
        let hinting: Vec<_> = imports
            .iter()
            .filter(|import| import.module == hint.namespace && hint.names.contains(&import.name.as_str()))
            .map(|import| import.name.clone())
            .collect();
        if hinting.is_empty() {
            continue;
        }
        let same = |want: &&mut Want| want.flag == hint.flag && want.reason == hint.reason;
        match wants.iter_mut().find(same) {
            Some(want) => want.imports.extend(hinting),
            None => wants.push(Want {
                flag: hint.flag,
                reason: hint.reason,
                imports: hinting,
            }),
        }
    }
    wants
}

#[cfg(test)]
mod tests {
    use nodule_abi::imports::{AREAS, find};

    use super::*;
    use crate::process::options::HOST_OPTIONS;

    #[test]
    fn hints_name_imports_and_flags_that_exist() {
        for hint in HINTS {
            let own = hint.namespace != WASI;
            for name in hint.names.iter().filter(|_| own) {
                assert!(find(hint.namespace, name).is_some(), "{name}");
            }
            for word in hint.flag.split(' ').filter(|word| word.starts_with("--")) {
                let name = word.split(['=', '[']).next().unwrap();
                assert!(HOST_OPTIONS.iter().any(|option| option.name == name), "{word}");
            }
        }
    }

    #[test]
    fn every_import_that_needs_a_grant_has_a_hint() {
        for area in AREAS {
            for import in area
                .imports
                .iter()
                .filter(|import| !import.name.starts_with("permission_"))
            {
                let needs_grant = import.docs.iter().any(|line| {
                    ["the grant", "a granted", "as `setuid`"]
                        .iter()
                        .any(|words| line.contains(words))
                });
                let has_hint = HINTS
                    .iter()
                    .any(|hint| hint.namespace == area.namespace && hint.names.contains(&import.name));
                assert!(has_hint || !needs_grant, "{} {}", area.namespace, import.name);
            }
        }
    }
}
