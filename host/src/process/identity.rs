//! User and group ids of the process: `getuid` … `initgroups`.
//!
//! The setters go through libc, which changes every OS thread; a raw system call would change one. They read the user
//! and group database, which may be on the network: call them where blocking is allowed.

use std::ffi::CString;

use nix::errno::Errno;
use nix::unistd::{self, Gid, Group, Uid, User};
use nodule_abi::error::{ErrorCode, ErrorRecord, Result};
use nodule_abi::value::Value;

use super::js_text;

/// A user or group as a guest names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Id {
    /// Its number.
    Number(u32),
    /// Its name in the database.
    Name(String),
}

impl Id {
    /// Reads the argument `argument`: `ERR_INVALID_ARG_TYPE` unless it is a number or a string, `ERR_OUT_OF_RANGE` unless
    /// the number is an unsigned integer of 32 bits.
    pub fn from_value(value: &Value, argument: &str) -> Result<Self> {
        match value.unshared() {
            Value::Number(number) => number_id(*number, argument).map(Self::Number),
            Value::String(name) => Ok(Self::Name(name.clone())),
            // No name in the database is like this, but it is a string.
            Value::Wtf16(units) => Ok(Self::Name(String::from_utf16_lossy(units))),
            _ => {
                let wanted = "one of type number or string";
                Err(ErrorRecord::invalid_arg_type(argument, wanted, &value.describe()).into())
            }
        }
    }

    /// Reads the argument of `setgroups`: an array whose elements are ids.
    pub fn list_from_value(value: &Value) -> Result<Vec<Self>> {
        let Some(elements) = value.as_array() else {
            let wanted = "an instance of Array";
            return Err(ErrorRecord::invalid_arg_type("groups", wanted, &value.describe()).into());
        };
        let ids = elements.iter().enumerate();
        ids.map(|(index, element)| Self::from_value(element, &format!("groups[{index}]")))
            .collect()
    }

    fn uid(&self) -> Result<Uid> {
        let uid = match self {
            Self::Number(number) => Some(Uid::from_raw(*number)),
            // A database that cannot be asked knows no user either.
            Self::Name(name) => User::from_name(name).ok().flatten().map(|user| user.uid),
        };
        // The largest number stands for "no change" in system calls.
        uid.filter(|uid| uid.as_raw() != u32::MAX)
            .ok_or_else(|| self.unknown("User"))
    }

    fn gid(&self) -> Result<Gid> {
        let gid = match self {
            Self::Number(number) => Some(Gid::from_raw(*number)),
            Self::Name(name) => Group::from_name(name).ok().flatten().map(|group| group.gid),
        };
        gid.filter(|gid| gid.as_raw() != u32::MAX)
            .ok_or_else(|| self.unknown("Group"))
    }

    fn user_name(&self) -> Result<String> {
        let user = match self {
            Self::Number(number) => User::from_uid(Uid::from_raw(*number)),
            Self::Name(name) => User::from_name(name),
        };
        user.ok()
            .flatten()
            .map(|user| user.name)
            .ok_or_else(|| self.unknown("User"))
    }

    fn unknown(&self, kind: &str) -> Box<ErrorRecord> {
        let message = format!("{kind} identifier does not exist: {self}");
        ErrorRecord::new(ErrorCode::UnknownCredential, message).into()
    }
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Name(name) => name.fmt(f),
        }
    }
}

fn number_id(number: f64, argument: &str) -> Result<u32> {
    let range = if number.fract() != 0.0 || !number.is_finite() {
        "an integer"
    } else if !(0.0..=f64::from(u32::MAX)).contains(&number) {
        ">= 0 && <= 4294967295"
    } else {
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be an integer in the range of u32"
        )]
        return Ok(number as u32);
    };
    Err(ErrorRecord::out_of_range(argument, range, &js_text::out_of_range_number(number)).into())
}

/// The real user id.
pub fn getuid() -> u32 {
    unistd::getuid().as_raw()
}

/// The effective user id.
pub fn geteuid() -> u32 {
    unistd::geteuid().as_raw()
}

/// The real group id.
pub fn getgid() -> u32 {
    unistd::getgid().as_raw()
}

/// The effective group id.
pub fn getegid() -> u32 {
    unistd::getegid().as_raw()
}

/// The supplementary groups and the effective one, each once.
pub fn getgroups() -> Result<Vec<u32>> {
    let groups = unistd::getgroups().map_err(|errno| failed(errno, "getgroups"))?;
    let mut unique = Vec::with_capacity(groups.len() + 1);
    for group in groups.into_iter().map(Gid::as_raw).chain([getegid()]) {
        if !unique.contains(&group) {
            unique.push(group);
        }
    }
    Ok(unique)
}

/// Sets the user id: all three of them for root, else the effective one.
pub fn setuid(id: &Id) -> Result<()> {
    unistd::setuid(id.uid()?).map_err(|errno| failed(errno, "setuid"))
}

/// Sets the effective user id.
pub fn seteuid(id: &Id) -> Result<()> {
    unistd::seteuid(id.uid()?).map_err(|errno| failed(errno, "seteuid"))
}

/// Sets the group id; as [`setuid`].
pub fn setgid(id: &Id) -> Result<()> {
    unistd::setgid(id.gid()?).map_err(|errno| failed(errno, "setgid"))
}

/// Sets the effective group id.
pub fn setegid(id: &Id) -> Result<()> {
    unistd::setegid(id.gid()?).map_err(|errno| failed(errno, "setegid"))
}

/// Sets the supplementary groups.
pub fn setgroups(groups: &[Id]) -> Result<()> {
    let groups = groups.iter().map(Id::gid).collect::<Result<Vec<_>>>()?;
    unistd::setgroups(&groups).map_err(|errno| failed(errno, "setgroups"))
}

/// Sets the supplementary groups to those of `user` in the database and `extra_group`. An unknown group is reported
/// before an unknown user.
pub fn initgroups(user: &Id, extra_group: &Id) -> Result<()> {
    let extra_group = extra_group.gid()?;
    let name = CString::new(user.user_name()?).map_err(|_| user.unknown("User"))?;
    unistd::initgroups(&name, extra_group).map_err(|errno| failed(errno, "initgroups"))
}

fn failed(errno: Errno, syscall: &'static str) -> Box<ErrorRecord> {
    ErrorRecord::system(ErrorCode::from_errno(errno as i32), syscall).into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;
    use std::sync::mpsc;

    use nodule_abi::value::Object;

    use super::*;
    use crate::process::{node_oracle, own_process};

    fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
        let error = result.unwrap_err();
        format!("{} {} {}", error.name, error.code.unwrap(), error.message)
    }

    #[test]
    fn refused_values_are_worded_as_in_node() {
        let values = [
            (Value::Number(-1.0), "-1"),
            (Value::Number(1.5), "1.5"),
            (Value::Number(f64::NAN), "NaN"),
            (Value::Number(f64::INFINITY), "Infinity"),
            (Value::Number(4_294_967_296.0), "4294967296"),
            (Value::Number(4_294_967_297.0), "4294967297"),
            (Value::Number(-1e21), "-1e21"),
            (Value::Undefined, "undefined"),
            (Value::Null, "null"),
            (Value::Bool(true), "true"),
            (Value::Object(Object::new()), "{}"),
            (Value::Array(vec![]), "[]"),
        ];
        let list: Vec<_> = values.iter().map(|(_, script)| *script).collect();
        let script = format!(
            "const say = (f) => {{ try {{ f(); return 'ok' }} catch (e) {{ return `${{e.name}} ${{e.code}} ${{e.message}}` }} }};
            console.log(JSON.stringify([
                ...[{0}].map((v) => say(() => process.setuid(v))),
                ...[{0}].map((v) => say(() => process.setgroups([1, v]))),
                say(() => process.setgroups(1)), say(() => process.setgroups('x')), say(() => process.setgroups({{}})),
                say(() => process.initgroups({{}}, 1)), say(() => process.initgroups(1, {{}})),
                say(() => process.setuid(4294967295)), say(() => process.seteuid('no such user')),
                say(() => process.setgid('no such group')), say(() => process.setegid('')),
                say(() => process.setgroups(['no such group'])),
                say(() => process.initgroups('no such user', 'no such group')),
                say(() => process.initgroups(4000000000, 0)),
            ]))",
            list.join(", ")
        );
        let Some(node) = node_oracle::run(&script, &[]) else {
            return;
        };
        let node: Vec<String> = serde_json::from_str(&node).unwrap();
        let name = |name: &str| Id::Name(name.to_owned());
        let pair = |value: &Value| Value::Array(vec![Value::from(1), value.clone()]);
        let mut ours: Vec<_> = values
            .iter()
            .map(|(value, _)| message(Id::from_value(value, "id")))
            .collect();
        ours.extend(
            values
                .iter()
                .map(|(value, _)| message(Id::list_from_value(&pair(value)))),
        );
        ours.push(message(Id::list_from_value(&Value::from(1))));
        ours.push(message(Id::list_from_value(&Value::from("x"))));
        let object = Value::Object(Object::new());
        ours.push(message(Id::list_from_value(&object)));
        ours.push(message(Id::from_value(&object, "user")));
        ours.push(message(Id::from_value(&object, "extraGroup")));
        ours.push(message(setuid(&Id::Number(u32::MAX))));
        ours.push(message(seteuid(&name("no such user"))));
        ours.push(message(setgid(&name("no such group"))));
        ours.push(message(setegid(&name(""))));
        ours.push(message(setgroups(&[name("no such group")])));
        ours.push(message(initgroups(&name("no such user"), &name("no such group"))));
        ours.push(message(initgroups(&Id::Number(4_000_000_000), &Id::Number(0))));
        assert_eq!(ours, node);
    }

    #[test]
    fn good_values_are_taken() {
        assert_eq!(Id::from_value(&Value::Number(-0.0), "id").unwrap(), Id::Number(0));
        assert_eq!(
            Id::from_value(&Value::Number(4_294_967_295.0), "id").unwrap(),
            Id::Number(u32::MAX)
        );
        assert_eq!(
            Id::from_value(&Value::from("root"), "id").unwrap(),
            Id::Name("root".into())
        );
        assert_eq!(Id::list_from_value(&Value::Array(vec![])).unwrap(), []);
    }

    #[test]
    fn names_are_never_taken_for_others() {
        // Node 20 passes the name on, and glibc sets the extra group alone.
        let result = initgroups(&Id::Name("no such user".into()), &Id::Number(0));
        assert_eq!(
            result.unwrap_err().message,
            "User identifier does not exist: no such user"
        );
        // Node cuts a name at its first NUL, so this would be root.
        assert_eq!(
            message(setuid(&Id::Name("root\0x".into())))
                .matches("ERR_UNKNOWN_CREDENTIAL")
                .count(),
            1
        );
    }

    #[test]
    fn groups_hold_the_effective_one_once() {
        let groups = getgroups().unwrap();
        assert_eq!(groups.iter().filter(|group| **group == getegid()).count(), 1);
    }

    #[test]
    fn ids_change_in_every_thread() {
        if geteuid() == 0 {
            own_process::run("process::identity::tests::change_in_own_process");
        } else {
            eprintln!("SKIPPED setting ids: needs root");
        }
    }

    /// A line of the status of the calling thread.
    fn status(field: &str) -> Vec<u32> {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.split_ascii_whitespace().map(|id| id.parse().unwrap()).collect()
    }

    #[test]
    #[ignore = "changes the ids of the process; runs in a process of its own"]
    fn change_in_own_process() {
        if !own_process::is_own() {
            return;
        }
        let (ask, asked) = mpsc::channel::<&'static str>();
        let (answer, answers) = mpsc::channel();
        let other = std::thread::spawn(move || asked.iter().for_each(|field| answer.send(status(field)).unwrap()));
        let in_other_thread = |field| {
            ask.send(field).unwrap();
            answers.recv().unwrap()
        };

        setgroups(&[
            Id::Number(5001),
            Id::Number(5002),
            Id::Number(5001),
            Id::Name("root".into()),
        ])
        .unwrap();
        assert_eq!(getgroups().unwrap(), [0, 5001, 5002]);
        assert_eq!(in_other_thread("Groups:"), [0, 5001, 5001, 5002]);
        initgroups(&Id::Number(0), &Id::Number(5003)).unwrap();
        assert!(getgroups().unwrap().contains(&5003) && !getgroups().unwrap().contains(&5001));

        setegid(&Id::Number(5004)).unwrap();
        assert_eq!((getgid(), getegid()), (0, 5004));
        assert!(getgroups().unwrap().contains(&5004));
        setgid(&Id::Number(5005)).unwrap();
        assert_eq!(in_other_thread("Gid:"), [5005; 4]);
        seteuid(&Id::Number(5006)).unwrap();
        assert_eq!((getuid(), geteuid()), (0, 5006));
        seteuid(&Id::Name("root".into())).unwrap();
        setuid(&Id::Number(5007)).unwrap();
        assert_eq!(in_other_thread("Uid:"), [5007; 4]);

        let refused = setuid(&Id::Number(0)).unwrap_err();
        assert_eq!((refused.message.as_str(), refused.errno), ("setuid EPERM", Some(-1)));
        assert_eq!(setgroups(&[]).unwrap_err().message, "setgroups EPERM");
        assert_eq!(
            initgroups(&Id::Number(0), &Id::Number(1)).unwrap_err().message,
            "initgroups EPERM"
        );
        drop(ask);
        other.join().unwrap();
    }
}
