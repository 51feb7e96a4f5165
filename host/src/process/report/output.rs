//! Where a report goes, and its text.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use nodule_abi::error::{ErrorCode, ErrorRecord, Result};

use super::{Report, ReportSettings};

/// Counts the reports of the process whose names are made up.
static SEQUENCE: AtomicU32 = AtomicU32::new(1);

/// Where a report is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file.
    File(PathBuf),
}

/// A report that is ready to be written.
#[derive(Clone, Debug)]
pub struct PreparedReport {
    /// What `writeReport` returns: the file name without its directory, or `stdout` or `stderr`.
    pub name: String,
    /// Where it goes.
    pub destination: Destination,
    /// Its text, with a line end.
    pub text: String,
}

impl Report {
    /// Names the report: `filename` if given and not empty, else the one of the settings, else
    /// `report.<date>.<time>.<pid>.<thread>.<sequence>.json` in local time. The names `stdout` and `stderr` stand for the
    /// streams. Others are taken within the directory of the settings, that within the isolate's working directory.
    pub fn prepare(mut self, settings: &ReportSettings, filename: Option<&str>) -> PreparedReport {
        let given = [filename.unwrap_or_default(), settings.filename()]
            .into_iter()
            .find(|name| !name.is_empty());
        let name = given.map_or_else(|| self.default_name(), str::to_owned);
        let destination = match name.as_str() {
            "stdout" => Destination::Stdout,
            "stderr" => Destination::Stderr,
            file => {
                let cwd = self.header.get("cwd").and_then(|cwd| cwd.as_str()).unwrap_or_default();
                Destination::File(Path::new(cwd).join(settings.directory()).join(file))
            }
        };
        self.header.insert("filename".into(), name.as_str().into());
        PreparedReport {
            name,
            destination,
            text: self.to_json(settings) + "\n",
        }
    }

    fn default_name(&self) -> String {
        let time = chrono::Local::now().format("%Y%m%d.%H%M%S");
        let thread = self
            .header
            .get("threadId")
            .and_then(|id| id.as_u64())
            .unwrap_or_default();
        let sequence = SEQUENCE.fetch_add(1, Ordering::Relaxed);
        format!("report.{time}.{}.{thread}.{sequence:03}.json", std::process::id())
    }
}

impl PreparedReport {
    /// Writes the report and gives its name. An existing file is replaced.
    pub fn write(self) -> Result<String> {
        let written = match &self.destination {
            Destination::Stdout => write_whole(&mut io::stdout().lock(), &self.text),
            Destination::Stderr => write_whole(&mut io::stderr().lock(), &self.text),
            Destination::File(path) => fs::write(path, &self.text),
        };
        match written {
            Ok(()) => Ok(self.name),
            Err(error) => {
                let code = error.raw_os_error().map_or(ErrorCode::Eio, ErrorCode::from_errno);
                Err(match &self.destination {
                    Destination::Stdout | Destination::Stderr => ErrorRecord::system(code, "write"),
                    Destination::File(path) => ErrorRecord::system_path(code, "open", &path.to_string_lossy(), None),
                }
                .into())
            }
        }
    }
}

fn write_whole(stream: &mut impl io::Write, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use nodule_abi::value::Value;
    use serde_json::Value as Json;

    use super::super::ReportInput;
    use super::super::tests::sample;
    use super::*;
    use crate::process::own_process;

    fn settings(members: &[(&str, Value)]) -> ReportSettings {
        let mut settings = ReportSettings::default();
        for (name, value) in members {
            settings.set(name, value).unwrap();
        }
        settings
    }

    fn report(cwd: &Path) -> Report {
        let input = ReportInput {
            cwd: cwd.to_str().unwrap().into(),
            thread_id: 3,
            ..sample()
        };
        Report::build(input, &ReportSettings::default())
    }

    #[test]
    fn a_report_is_written_into_its_directory() {
        let cwd = std::env::temp_dir().join(format!("nodule-report-{}", std::process::id()));
        fs::create_dir_all(cwd.join("sub")).unwrap();
        let into_sub = settings(&[("directory", "sub".into()), ("filename", "set.json".into())]);
        assert_eq!(report(&cwd).prepare(&into_sub, None).write().unwrap(), "set.json");
        assert_eq!(
            report(&cwd).prepare(&into_sub, Some("given.json")).write().unwrap(),
            "given.json"
        );
        let name = report(&cwd)
            .prepare(&ReportSettings::default(), Some(""))
            .write()
            .unwrap();

        for (file, name) in [
            ("sub/set.json", "set.json"),
            ("sub/given.json", "given.json"),
            (&*name, &*name),
        ] {
            let text = fs::read_to_string(cwd.join(file)).unwrap();
            let written: Json = serde_json::from_str(&text).unwrap();
            assert_eq!(written["header"]["filename"], name);
            assert!(text.starts_with("{\n  \"header\": {") && text.ends_with("}\n"));
        }
        fs::remove_dir_all(&cwd).unwrap();
        let error = report(&cwd).prepare(&into_sub, None).write().unwrap_err();
        let path = cwd.join("sub/set.json");
        assert_eq!(
            error.message,
            format!("ENOENT: no such file or directory, open '{}'", path.display())
        );
    }

    #[test]
    fn a_made_up_name_tells_when_and_who() {
        let prepared = report(Path::new("/")).prepare(&ReportSettings::default(), None);
        let parts: Vec<_> = prepared.name.split('.').collect();
        let [report, date, time, pid, thread, sequence, json] = parts[..] else {
            panic!("{}", prepared.name)
        };
        assert_eq!((report, thread, json), ("report", "3", "json"));
        assert_eq!((date.len(), time.len(), sequence.len()), (8, 6, 3));
        assert_eq!(pid, std::process::id().to_string());
        let next = self::report(Path::new("/")).prepare(&ReportSettings::default(), None);
        assert_ne!(next.name, prepared.name);
    }

    #[test]
    fn streams_are_destinations_and_compact_is_one_line() {
        let compact = settings(&[("compact", true.into()), ("filename", "stdout".into())]);
        let prepared = report(Path::new("/")).prepare(&compact, None);
        assert_eq!(
            (prepared.name.as_str(), &prepared.destination),
            ("stdout", &Destination::Stdout)
        );
        assert_eq!(prepared.text.lines().count(), 1);
        let prepared = report(Path::new("/")).prepare(&compact, Some("stderr"));
        assert_eq!(prepared.destination, Destination::Stderr);
        assert_eq!(
            report(Path::new("/a")).prepare(&compact, Some("/b/c")).destination,
            Destination::File("/b/c".into())
        );
    }

    #[test]
    fn a_report_reaches_the_stream() {
        let text = own_process::run("process::report::output::tests::write_in_own_process");
        let line = text
            .lines()
            .find(|line| line.starts_with("{\"header\""))
            .unwrap_or_else(|| panic!("{text}"));
        assert_eq!(
            serde_json::from_str::<Json>(line).unwrap()["header"]["filename"],
            "stdout"
        );
    }

    #[test]
    #[ignore = "writes to standard output; runs in a process of its own"]
    fn write_in_own_process() {
        if own_process::is_own() {
            println!();
            let compact = settings(&[("compact", true.into())]);
            report(Path::new("/"))
                .prepare(&compact, Some("stdout"))
                .write()
                .unwrap();
        }
    }
}
