//! Hostile kubeconfigs, the fuzzer's seeds: fed to what the fuzzer calls, uploaded to a server and imported by the command line,
//! the last two under strace: no process is started, no file is opened, no connection is made.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::support::{Product, Scratch, eventually};
use crate::{base64, entry, kubeconfig, register};

/// System calls that start a process, open a file or connect.
const CALLS: &str = "trace=execve,execveat,fork,vfork,open,openat,openat2,creat,connect";

fn seeds() -> Vec<(PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/kubeconfig");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

fn ordinary() -> String {
    kubeconfig("https://127.0.0.1:9", &crate::support::Authority::new().pem(), "token: a")
}

#[test]
fn every_seed_is_refused_by_what_the_fuzzer_calls() {
    let seeds = seeds();
    assert!(seeds.len() >= 50, "{}", seeds.len());
    let accepted: Vec<_> = seeds.iter().filter(|(_, text)| entry::feed(text).is_none()).collect();
    assert!(accepted.is_empty(), "{accepted:?}");
    assert!(entry::feed(&ordinary()).is_none());
    // Cut short and put together: what a fuzzer would do first.
    for (_, text) in &seeds {
        for cut in (0..text.len()).step_by(5).filter(|cut| text.is_char_boundary(*cut)) {
            let _ = entry::feed(&text[..cut]);
        }
    }
}

fn strace_is_here() -> bool {
    let here = Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success());
    if !here {
        eprintln!("SKIPPED: no strace here");
    }
    here
}

/// Calls of a trace: name of the call, and the path or address it is for.
fn calls(trace: &Path) -> Vec<(String, String)> {
    let text = String::from_utf8_lossy(&std::fs::read(trace).unwrap()).into_owned();
    let call = |line: &str| {
        let line = line.split_once(' ').map_or(line, |(_, rest)| rest.trim_start());
        let (name, rest) = line.split_once('(')?;
        let known = name.chars().all(|letter| letter.is_ascii_alphanumeric());
        let path = rest.split('"').nth(1).unwrap_or(rest).to_owned();
        known.then(|| (name.to_owned(), path))
    };
    text.lines().filter_map(call).collect()
}

/// strace attached to a running process; ends when it is stopped or dropped.
struct Watcher(Child);

impl Watcher {
    async fn of(pid: u32, trace: &Path) -> Self {
        let mut command = Command::new("strace");
        command.args(["-f", "-qq", "-e", CALLS, "-o"]).arg(trace).args(["-p", &pid.to_string()]);
        let watcher = Self(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        eventually(Duration::from_secs(20), async || {
            let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
            let statuses =
                tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("status")).unwrap_or_default());
            statuses.into_iter().all(|status| !status.contains("TracerPid:\t0"))
        })
        .await;
        watcher
    }

    /// Lets go of the process; the trace is complete then.
    fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uploads_of_hostile_kubeconfigs_start_no_process_open_no_file_and_connect_to_nobody() {
    if !strace_is_here() {
        return;
    }
    let (scratch, product) = (Scratch::new(), Product::new().set("health_check.enabled", false).started().await);
    let client = product.client();
    let id = register(&client, "target", "https://127.0.0.1:9", None).await;
    let path = format!("/api/v1/clusters/{id}/credentials");
    let trace = scratch.path().join("trace");
    let watcher = Watcher::of(product.pid(), &trace).await;
    for (file, text) in seeds() {
        for config in [text.clone(), base64(&text)] {
            let body = json!({ "auth_type": "KUBECONFIG", "kubeconfig": config });
            for more in ["", "?force=true"] {
                let answer = client.post(&format!("{path}{more}"), &body).await;
                assert_eq!(answer.status, 400, "{}: {}", file.display(), answer.text());
            }
        }
    }
    // What is seen: an accepted one is tried on its cluster.
    let seen_so_far = calls(&trace).len();
    let good = json!({ "auth_type": "KUBECONFIG", "kubeconfig": ordinary() });
    assert_eq!(client.post(&path, &good).await.status, 503, "nobody listens there");
    watcher.stop();
    let all = calls(&trace);
    let (hostile, good) = all.split_at(seen_so_far.min(all.len()));
    assert!(good.iter().any(|(name, _)| name == "connect"), "the trace sees connections: {good:?}");
    let own = [product.data_dir().display().to_string(), "/proc/".to_owned(), "/sys/fs/cgroup".to_owned()];
    let strange: Vec<_> = hostile.iter().filter(|(_, what)| !own.iter().any(|own| what.starts_with(own))).collect();
    println!("{} uploads, {} calls of {CALLS}, {} strange", seeds().len() * 4, hostile.len(), strange.len());
    assert!(strange.is_empty(), "{strange:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn imports_of_hostile_kubeconfigs_start_no_process_and_open_no_file_but_the_kubeconfig() {
    if !strace_is_here() {
        return;
    }
    let (scratch, product) = (Scratch::new(), Product::new().set("health_check.enabled", false).started().await);
    let trace = scratch.path().join("trace");
    let import = |file: &Path| -> Vec<(String, String)> {
        let mut command = Command::new("timeout");
        command.args(["--signal=KILL", "60", "strace", "-f", "-qq", "-e", CALLS, "-o"]).arg(&trace);
        command
            .arg(env!("CARGO_BIN_EXE_fleetbeat"))
            .args(["clusters", "import", "--dry-run", "--kubeconfig"])
            .arg(file);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", scratch.path());
        let output = command.env("FLEETBEAT_SERVER", product.url()).stdin(Stdio::null()).output().unwrap();
        assert!(matches!(output.status.code(), Some(0 | 1)), "{output:?}");
        calls(&trace)
    };
    let usual: BTreeSet<_> = import(&scratch.write("ordinary", &ordinary(), None)).into_iter().collect();
    let mut strange = Vec::new();
    for (file, _) in seeds() {
        let own = file.display().to_string();
        let made = import(&file);
        assert_eq!(made.iter().filter(|(name, _)| name == "execve").count(), 1, "{own}: {made:?}");
        strange.extend(made.into_iter().filter(|call| call.1 != own && !usual.contains(call)));
    }
    println!("{} imports, {} usual calls, {} strange ones", seeds().len(), usual.len(), strange.len());
    assert!(strange.is_empty(), "{strange:?}");
}
