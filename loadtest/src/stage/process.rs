//! Child processes that end with this one, ports nobody uses, and a directory that is removed.

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use tokio::time::{Instant, sleep};

/// A running child. Dropping it kills it and everything below it; so does the kernel when this process dies.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts a program, as another user when this one is root and one is given. Its output is added to `log`.
    pub fn start(
        program: &Path,
        user: Option<&str>,
        log: &Path,
        arrange: impl FnOnce(&mut Command),
    ) -> anyhow::Result<Self> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let Some(user) = user.filter(|_| geteuid().is_root()) {
            command.args(["--reuid", user, "--regid", user, "--init-groups"]);
        }
        command.arg("--").arg(program);
        arrange(&mut command);
        let output = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let child = start_from_a_thread_that_stays(command);
        Ok(Self { child: child.with_context(|| format!("cannot start {}", program.display()))?, log: log.to_owned() })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has it ended by itself?
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// The end of what it wrote.
    pub fn last_words(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// SIGSTOP, to it and everything below it.
    pub fn pause(&mut self) {
        self.signal_all(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&mut self) {
        self.signal_all(Signal::CONT);
    }

    /// SIGKILL; returns when it is gone.
    pub fn kill(&mut self) {
        if self.has_ended() {
            return;
        }
        // Stopped first, so that nothing new appears below it meanwhile.
        send(self.pid(), Signal::STOP);
        below(self.pid()).into_iter().for_each(|pid| send(pid, Signal::KILL));
        send(self.pid(), Signal::KILL);
        let _ = self.child.wait();
    }

    /// Asks it to end and waits; kills it when it takes too long. Returns how long it took and its exit code.
    pub async fn end(&mut self, signal: Signal, within: Duration) -> (Duration, Option<i32>) {
        let begin = Instant::now();
        send(self.pid(), signal);
        while begin.elapsed() < within {
            if let Ok(Some(status)) = self.child.try_wait() {
                return (begin.elapsed(), status.code());
            }
            sleep(Duration::from_millis(10)).await;
        }
        self.kill();
        (begin.elapsed(), None)
    }

    /// The same from where nothing can be awaited, also for a paused one.
    pub fn end_now(&mut self, signal: Signal, within: Duration) {
        let begin = Instant::now();
        if !self.has_ended() {
            send(self.pid(), signal);
            self.resume();
        }
        while !self.has_ended() && begin.elapsed() < within {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.kill();
    }

    fn signal_all(&mut self, signal: Signal) {
        if !self.has_ended() {
            send(self.pid(), signal);
            below(self.pid()).into_iter().for_each(|pid| send(pid, signal));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Every process below this one.
fn below(pid: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let direct: Vec<u32> = children.split_whitespace().filter_map(|child| child.parse().ok()).collect();
    direct.iter().flat_map(|child| [vec![*child], below(*child)].concat()).collect()
}

/// The kernel's signal for a dead parent comes when the thread that started the child ends: one thread starts them all.
fn start_from_a_thread_that_stays(command: Command) -> io::Result<Child> {
    type Order = (Command, Sender<io::Result<Child>>);
    static STARTER: LazyLock<Sender<Order>> = LazyLock::new(|| {
        let (sender, orders) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in orders {
                let _ = reply.send(command.spawn());
            }
        });
        sender
    });
    let (reply, started) = channel();
    STARTER.send((command, reply)).map_err(|_| io::Error::other("nothing can be started any more"))?;
    started.recv().map_err(io::Error::other)?
}

/// A directory of this run.
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    /// A new one.
    ///
    /// # Errors
    /// When the temporary directory cannot be written.
    pub fn new() -> io::Result<Self> {
        sweep(&std::env::temp_dir());
        let prefix = format!("{PREFIX}{}-", std::process::id());
        let scratch = Self(tempfile::Builder::new().prefix(&prefix).tempdir()?);
        // Servers that run as another user must get through it.
        fs::set_permissions(scratch.path(), std::os::unix::fs::PermissionsExt::from_mode(0o711))?;
        Ok(scratch)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// A new directory in it, which belongs to `user` when this process is root and one is given.
    ///
    /// # Errors
    /// When it cannot be made or given away.
    pub fn folder(&self, name: &str, user: Option<&str>) -> anyhow::Result<PathBuf> {
        let path = self.path().join(name);
        fs::create_dir_all(&path)?;
        if let Some(user) = user.filter(|_| geteuid().is_root()) {
            let (uid, gid) = account(user)?;
            chown(&path, Some(uid), Some(gid))?;
        }
        Ok(path)
    }
}

/// Before the id of the process that a directory belongs to.
const PREFIX: &str = "fleetbeat-loadtest-";

/// Removes directories of runs that were killed and could not do it themselves.
fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')).map(|(pid, _)| pid.to_owned());
        let owner = owner.filter(|pid| !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit()));
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn account(user: &str) -> anyhow::Result<(u32, u32)> {
    let accounts = fs::read_to_string("/etc/passwd")?;
    let fields = accounts.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == user);
    match fields.as_deref() {
        Some([_, _, uid, gid, ..]) => Ok((uid.parse()?, gid.parse()?)),
        _ => bail!("this machine has no user {user}"),
    }
}

/// A port of 127.0.0.1 on which nobody listens, below those the kernel gives to connections.
pub fn free_port() -> anyhow::Result<u16> {
    const RANGE: u32 = 10_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    for _ in 0..RANGE {
        let nth = std::process::id().wrapping_mul(131).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % RANGE;
        let port = u16::try_from(22_000 + nth)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_ends_with_what_is_below_it() {
        let scratch = Scratch::new().unwrap();
        let log = scratch.path().join("log");
        let mut running = Running::start(Path::new("sh"), None, &log, |command| {
            command.args(["-c", "sleep 60 & wait"]);
        })
        .unwrap();
        while below(running.pid()).is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
        let children = below(running.pid());
        running.kill();
        assert!(running.has_ended());
        let gone = |pid: &u32| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            stat.is_empty() || stat.contains(") Z ")
        };
        let begin = Instant::now();
        while !children.iter().all(gone) && begin.elapsed() < Duration::from_secs(5) {
            sleep(Duration::from_millis(5)).await;
        }
        assert!(children.iter().all(gone));
    }

    #[test]
    fn what_a_killed_run_left_is_swept_and_what_a_running_one_has_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let own = format!("{PREFIX}{}-abc", std::process::id());
        let dead = format!("{PREFIX}{}-abc", u32::MAX);
        let names = [own.as_str(), dead.as_str(), "fleetbeat-loadtest-xyz", "fleetbeat-test-1-x"];
        names.iter().for_each(|name| fs::create_dir_all(folder.path().join(name).join("log")).unwrap());
        sweep(folder.path());
        assert_eq!(names.map(|name| folder.path().join(name).exists()), [true, false, true, true]);
    }

    #[test]
    fn a_paused_child_ends_as_it_was_asked_to() {
        let scratch = Scratch::new().unwrap();
        let log = scratch.path().join("log");
        let mut running = Running::start(Path::new("sh"), None, &log, |command| {
            command.args(["-c", "trap 'echo asked; exit' TERM; echo ready; while :; do sleep 0.05; done"]);
        })
        .unwrap();
        let begin = Instant::now();
        while !running.last_words().contains("ready") && begin.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(5));
        }
        running.pause();
        running.end_now(Signal::TERM, Duration::from_secs(20));
        assert!(running.last_words().contains("asked"));
    }

    #[test]
    fn free_ports_differ() {
        assert_ne!(free_port().unwrap(), free_port().unwrap());
    }
}
