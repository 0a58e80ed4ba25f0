//! Processors that do not sleep while figures are taken.
//!
//! A virtual processor that sleeps is given back by its host when that has time, and takes tens of milliseconds for it where hosts are
//! busy: what is measured then is the host. So a thread of the lowest priority keeps each processor busy, and gives way to everybody, in
//! whichever session that runs.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::process::Command;
use std::thread;

use rustix::process::setsid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::{Running, Scratch};

/// What a group of processes may use of the processors, as the two versions of cgroups say it.
const RATIONS: [&str; 2] = ["/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"];

/// Can processors be kept awake here? Not where CPU time is rationed, which would then be wasted, nor without the program that
/// lowers the priority.
pub fn can_keep_awake() -> bool {
    let has_chrt = || Command::new("chrt").arg("--version").output().is_ok_and(|output| output.status.success());
    !is_rationed() && has_chrt()
}

fn is_rationed() -> bool {
    RATIONS.iter().filter_map(|file| fs::read_to_string(file).ok()).any(|text| is_ration(&text))
}

fn is_ration(text: &str) -> bool {
    !matches!(text.split_whitespace().next(), Some("max" | "-1") | None)
}

/// Keeps every processor awake until the returned process is dropped. `own` is this program.
///
/// # Errors
/// When it cannot be started.
pub fn keep_awake(own: &Path, scratch: &Scratch) -> anyhow::Result<Running> {
    let log = scratch.path().join("awake.log");
    Running::start(Path::new("chrt"), None, &log, |command| {
        command.args(["--idle", "0"]).arg(own).arg("stay-awake");
    })
}

/// Keeps every processor that this process may use busy, for ever; none where CPU time is rationed.
pub fn stay_awake() {
    if is_rationed() {
        return;
    }
    // The kernel shares processors between sessions first: priorities hold within one only, and this one is nobody else's.
    if setsid().is_ok() {
        let _ = fs::write("/proc/self/autogroup", "19");
    }
    let allowed = sched_getaffinity(None).unwrap_or_default();
    let processors = (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor));
    let threads: Vec<_> = processors
        .map(|processor| {
            thread::spawn(move || {
                let mut here = CpuSet::new();
                here.set(processor);
                // Where it may not choose, the kernel spreads the threads.
                let _ = sched_setaffinity(None, &here);
                loop {
                    black_box(());
                }
            })
        })
        .collect();
    for thread in threads {
        let _ = thread.join();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ration_is_told_from_none_in_both_versions() {
        assert_eq!(["max 100000\n", "-1\n", ""].map(is_ration), [false; 3]);
        assert_eq!(["50000 100000\n", "200000\n"].map(is_ration), [true; 2]);
    }
}
