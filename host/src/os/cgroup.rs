//! Memory limits set by control groups, of both versions (`cgroups(7)`).

use std::fs;
use std::path::{Component, Path, PathBuf};

/// A "limit" of version 1 that stands for none: the largest page count, in bytes.
const V1_UNLIMITED_MIN: u64 = i64::MAX as u64 - 0xffff;

/// The control groups whose memory limits hold for a process, from its own one up to the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroup {
    groups: Vec<PathBuf>,
    files: Files,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Files {
    V1,
    #[default]
    V2,
}

impl Files {
    fn limit(self) -> &'static str {
        match self {
            Self::V1 => "memory.limit_in_bytes",
            Self::V2 => "memory.max",
        }
    }

    fn used(self) -> &'static str {
        match self {
            Self::V1 => "memory.usage_in_bytes",
            Self::V2 => "memory.current",
        }
    }

    /// The line of `memory.stat` that counts file pages the kernel drops first.
    fn droppable(self) -> &'static str {
        match self {
            Self::V1 => "total_inactive_file",
            Self::V2 => "inactive_file",
        }
    }
}

impl Cgroup {
    /// Those of this process; none where the kernel does not say.
    pub fn own() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        Self::find(&read("/proc/self/cgroup"), &read("/proc/self/mountinfo"))
    }

    /// From the texts of `/proc/<pid>/cgroup` and `/proc/<pid>/mountinfo`.
    fn find(membership: &str, mounts: &str) -> Self {
        let mut v2 = None;
        for line in membership.lines() {
            let mut fields = line.splitn(3, ':').skip(1);
            let (Some(controllers), Some(group)) = (fields.next(), fields.next()) else {
                continue;
            };
            if controllers.split(',').any(|name| name == "memory") {
                return Self::at(mounts, Files::V1, group);
            }
            if controllers.is_empty() {
                v2 = Some(group);
            }
        }
        v2.map_or_else(Self::default, |group| Self::at(mounts, Files::V2, group))
    }

    fn at(mounts: &str, files: Files, group: &str) -> Self {
        let Some((root, mount)) = mount_of(mounts, files) else {
            return Self::default();
        };
        // A container sees its own group as the root of the mount; a group outside of the mount cannot be read.
        let inside = Path::new(group)
            .strip_prefix(root)
            .ok()
            .filter(|path| path.is_relative() && !climbs(path));
        let own = mount.join(inside.unwrap_or(Path::new("")));
        let groups = own
            .ancestors()
            .take_while(|path| path.starts_with(mount))
            .map(PathBuf::from);
        Self {
            groups: groups.collect(),
            files,
        }
    }

    /// The tightest limit in bytes.
    pub fn memory_limit(&self) -> Option<u64> {
        self.groups.iter().filter_map(|group| self.limit_of(group)).min()
    }

    /// Bytes left below the limit that is nearest to being reached. File pages that the kernel drops first count as
    /// free.
    pub fn memory_left(&self) -> Option<u64> {
        let left = |group: &PathBuf| {
            let limit = self.limit_of(group)?;
            let used = read_number(&group.join(self.files.used()))?;
            Some(limit.saturating_sub(used.saturating_sub(self.droppable_of(group))))
        };
        self.groups.iter().filter_map(left).min()
    }

    fn limit_of(&self, group: &Path) -> Option<u64> {
        // Version 2 says "max", which is no number.
        read_number(&group.join(self.files.limit())).filter(|limit| *limit < V1_UNLIMITED_MIN)
    }

    fn droppable_of(&self, group: &Path) -> u64 {
        let stat = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        let value = stat
            .lines()
            .find_map(|line| line.strip_prefix(self.files.droppable())?.trim().parse().ok());
        value.unwrap_or(0)
    }
}

/// Whether a path leads upwards: the group lies outside of what this process sees.
fn climbs(path: &Path) -> bool {
    path.components().any(|part| part == Component::ParentDir)
}

fn read_number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Root (inside the hierarchy) and mount point of the memory hierarchy, from a `mountinfo` text.
fn mount_of(mounts: &str, files: Files) -> Option<(&Path, &Path)> {
    mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let found = (Path::new(place.next()?), Path::new(place.next()?));
        let mut kind = kind.split(' ');
        let wanted = match (kind.next()?, files) {
            ("cgroup2", Files::V2) => true,
            ("cgroup", Files::V1) => kind.nth(1)?.split(',').any(|option| option == "memory"),
            _ => false,
        };
        wanted.then_some(found)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// A directory that goes away with the test.
    struct Hierarchy(PathBuf);

    impl Hierarchy {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("nodule-cgroup-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn put(&self, file: &str, text: &str) {
            let path = self.0.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    impl Drop for Hierarchy {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_tightest_limit_of_all_levels_holds() {
        let hierarchy = Hierarchy::new("v2");
        hierarchy.put("a/b/memory.max", "max\n");
        hierarchy.put("a/memory.max", "1000000\n");
        hierarchy.put("a/memory.current", "900000\n");
        hierarchy.put("a/memory.stat", "anon 5\ninactive_file 300000\n");
        hierarchy.put("memory.max", "5000000");
        hierarchy.put("memory.current", "4900000");
        let mounts = format!("30 24 0:26 / {} rw,nosuid - cgroup2 cgroup rw\n", hierarchy.0.display());
        let own = Cgroup::find("0::/a/b\n", &mounts);
        assert_eq!(own.groups.len(), 3);
        assert_eq!(own.memory_limit(), Some(1_000_000));
        assert_eq!(
            own.memory_left(),
            Some(100_000),
            "the root is nearer to its limit than a"
        );
        hierarchy.put("memory.current", "0");
        assert_eq!(own.memory_left(), Some(400_000));
    }

    #[test]
    fn a_container_sees_its_group_as_the_root() {
        let hierarchy = Hierarchy::new("root");
        hierarchy.put("memory.max", "4096");
        hierarchy.put("memory.current", "8192");
        let mounts = format!(
            "30 24 0:26 /docker/x {} rw - cgroup2 cgroup rw\n",
            hierarchy.0.display()
        );
        let own = Cgroup::find("0::/docker/x\n", &mounts);
        assert_eq!((own.memory_limit(), own.memory_left()), (Some(4096), Some(0)));
        for mounts in [&mounts, &mounts.replace("/docker/x", "/")] {
            assert_eq!(Cgroup::find("0::/../elsewhere\n", mounts).memory_limit(), Some(4096));
        }
    }

    #[test]
    fn version_1_has_files_of_its_own() {
        let hierarchy = Hierarchy::new("v1");
        hierarchy.put("g/memory.limit_in_bytes", "9223372036854771712\n");
        hierarchy.put("memory.limit_in_bytes", "1000\n");
        hierarchy.put("memory.usage_in_bytes", "700\n");
        hierarchy.put("memory.stat", "inactive_file 1\ntotal_inactive_file 100\n");
        let mounts = format!(
            "30 24 0:26 / /elsewhere rw - cgroup cgroup rw,cpu,cpuacct\n31 24 0:27 / {} rw - cgroup cgroup rw,memory\n",
            hierarchy.0.display()
        );
        let own = Cgroup::find("5:cpu,cpuacct:/\n4:memory:/g\n0::/\n", &mounts);
        assert_eq!((own.memory_limit(), own.memory_left()), (Some(1000), Some(400)));
    }

    #[test]
    fn no_control_groups_means_no_limit() {
        assert_eq!(Cgroup::find("", "").memory_limit(), None);
        assert_eq!(Cgroup::find("0::/a\n", "garbage\n1 2 - cgroup2\n").memory_left(), None);
        assert_eq!(Cgroup::find("4:memory\n::\n", "").memory_limit(), None);
    }
}
