//! Child processes that never outlive the test, their scratch directories and their ports.

use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{LazyLock, Once, mpsc};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

/// Ports are taken below the range from which the kernel takes local ports of connections.
const FIRST_PORT: u16 = 20_000;
const PORTS: u16 = 12_000;
const SCRATCH_PREFIX: &str = "fleetbeat-test-";

/// What a test does to a server whose process is in its field `running`. `$end` asks it to stop, which it does in `$seconds`.
macro_rules! at_the_mercy_of_tests {
    ($server:ty, $end:ident, $seconds:literal) => {
        impl $server {
            /// What it logged.
            pub fn log(&self) -> String {
                self.running.as_ref().map(Running::log).unwrap_or_default()
            }

            /// SIGSTOP: connections stay open and nothing answers.
            pub fn pause(&mut self) {
                self.running().pause();
            }

            /// SIGCONT.
            pub fn resume(&mut self) {
                self.running().resume();
            }

            /// SIGKILL, for it and its children.
            pub fn kill(&mut self) {
                self.running().kill();
            }

            /// An orderly shutdown.
            pub async fn stop(&mut self) {
                self.running().end(Signal::$end, Duration::from_secs($seconds)).await;
            }

            fn running(&mut self) -> &mut Running {
                self.running.as_mut().expect("started in every constructor")
            }
        }
    };
}
pub(super) use at_the_mercy_of_tests;

/// A child process, killed (with its own children) when dropped and by the kernel when the test process dies.
pub struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts a program as this user, or as `user` when we are root and one is given; output is appended to the log file.
    pub fn spawn(program: &Path, user: Option<&str>, log: &Path, configure: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]);
        if let Some(user) = user.filter(|_| is_root()) {
            command.args(["--reuid", user, "--regid", user, "--init-groups"]);
        }
        command.arg("--").arg(program);
        configure(&mut command);
        let output = std::fs::File::options().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(output.as_fd().try_clone_to_owned().unwrap()).stderr(output);
        let child = spawn_from_lasting_thread(command);
        let child = child.unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
        Self { child, log: log.to_owned() }
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, when it has.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Everything it wrote so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// SIGSTOP for it and its children: alive, but silent.
    pub fn pause(&mut self) {
        self.signal_tree(Signal::STOP);
    }

    /// SIGCONT for it and its children.
    pub fn resume(&mut self) {
        self.signal_tree(Signal::CONT);
    }

    /// SIGKILL for it and its children; returns once it is gone.
    pub fn kill(&mut self) {
        if self.exited().is_none() {
            let pid = self.child.id();
            send(pid, Signal::STOP);
            let children = descendants(pid);
            children.iter().for_each(|child| send(*child, Signal::KILL));
            send(pid, Signal::KILL);
            children.into_iter().for_each(wait_until_dead);
            let _ = self.child.wait();
        }
    }

    /// Sends one signal to the process alone.
    pub fn signal(&mut self, signal: Signal) {
        if self.exited().is_none() {
            send(self.child.id(), signal);
        }
    }

    /// Asks it to end with a signal and waits; panics when it takes longer.
    pub async fn end(&mut self, signal: Signal, within: Duration) -> ExitStatus {
        self.signal(signal);
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.exited() {
                return status;
            }
            assert!(Instant::now() < deadline, "still running {within:?} after {signal:?}:\n{}", tail(&self.log()));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn signal_tree(&mut self, signal: Signal) {
        if self.exited().is_some() {
            return;
        }
        let pid = self.child.id();
        send(pid, signal);
        for descendant in descendants(pid) {
            send(descendant, signal);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The last lines of a log.
pub fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// The ids of all processes below one, parents first.
fn descendants(of: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            let pid = entry.ok()?.file_name().to_str()?.parse().ok()?;
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
            Some((pid, parent))
        })
        .collect();
    let mut found = vec![of];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, above)| *above == parent).map(|(pid, _)| pid));
        next += 1;
    }
    found.split_off(1)
}

/// Waits until a killed process holds nothing any more (at most 5 s): PostgreSQL does not start while a backend has its memory.
fn wait_until_dead(pid: u32) {
    let alive = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
    };
    for _ in 0..2500 {
        if !alive() {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The kernel's parent-death signal fires when the *thread* that started the child ends, so one thread starts them all.
fn spawn_from_lasting_thread(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static ORDERS: LazyLock<mpsc::Sender<Order>> = LazyLock::new(|| {
        let (orders, received) = mpsc::channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, reply) in received {
                let _ = reply.send(command.spawn());
            }
        });
        orders
    });
    let (reply, child) = mpsc::channel();
    ORDERS.send((command, reply)).map_err(io::Error::other)?;
    child.recv().map_err(io::Error::other)?
}

/// A directory of this process, removed when dropped; what killed test processes left behind is removed at first use.
pub struct Scratch(PathBuf);

impl Scratch {
    /// A new, empty directory.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        static SWEEP: Once = Once::new();
        SWEEP.call_once(sweep);
        let name = format!("{SCRATCH_PREFIX}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// A directory that belongs to `user` when we are root.
    pub fn of(user: &str) -> Self {
        let scratch = Self::new();
        if is_root() {
            let (uid, gid) = ids(user);
            std::os::unix::fs::chown(&scratch.0, Some(uid), Some(gid)).unwrap();
        }
        scratch
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes a file that only its owner reads, and gives it to `user` when we are root.
    pub fn write(&self, name: &str, content: &str, user: Option<&str>) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        if let Some((uid, gid)) = user.filter(|_| is_root()).map(ids) {
            std::os::unix::fs::chown(&path, Some(uid), Some(gid)).unwrap();
        }
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn sweep() {
    let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(SCRATCH_PREFIX).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn ids(user: &str) -> (u32, u32) {
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap();
    let fields = accounts.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == user);
    let fields = fields.unwrap_or_else(|| panic!("this machine has no user {user}"));
    (fields[2].parse().unwrap(), fields[3].parse().unwrap())
}

/// A port of 127.0.0.1 on which nobody listens now and which this process does not hand out twice.
pub fn free_port() -> u16 {
    static NEXT: LazyLock<AtomicU16> =
        LazyLock::new(|| AtomicU16::new((std::process::id().wrapping_mul(97) % u32::from(PORTS)) as u16));
    for _ in 0..PORTS {
        let port = FIRST_PORT + NEXT.fetch_add(1, Ordering::Relaxed) % PORTS;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port from {FIRST_PORT} on");
}
