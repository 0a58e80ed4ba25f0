//! A pseudo terminal with a command on it, and what stands on its screen. The terminal is Python's: a test without it is skipped.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use super::desk::Desk;
use super::support::{Running, Scratch, eventually};

/// Patience with a busy machine.
const SOON: Duration = Duration::from_secs(60);
/// The screen is taken to be this large, however small the terminal is: what is written beyond its edge is seen.
const ROWS: usize = 60;
const COLUMNS: usize = 240;

/// A terminal on which the binary runs.
pub struct Terminal {
    running: Running,
    orders: PathBuf,
    _scratch: Scratch,
}

impl Terminal {
    /// Runs the binary on a terminal of so many rows and columns; nothing where there is no Python.
    pub fn open(desk: &Desk, size: (u16, u16), arguments: &[&str], environment: &[(&str, &str)]) -> Option<Self> {
        if Command::new("python3").arg("--version").output().is_err() {
            eprintln!("SKIPPED: no python3 here, so there is no terminal");
            return None;
        }
        let scratch = Scratch::new();
        let orders = scratch.write("orders", &format!("size {} {}\n", size.0, size.1), None);
        let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/terminal.py");
        let running = Running::spawn(Path::new("python3"), None, &scratch.path().join("out"), |command| {
            command.arg(driver).arg(&orders).arg(env!("CARGO_BIN_EXE_fleetbeat")).args(arguments);
            command.env("FLEETBEAT_SERVER", desk.product.url()).env("TERM", "xterm-256color").env_remove("NO_COLOR");
            command.envs(environment.iter().copied());
        });
        Some(Self { running, orders, _scratch: scratch })
    }

    fn order(&self, order: &str) {
        let mut file = std::fs::File::options().append(true).open(&self.orders).unwrap();
        writeln!(file, "{order}").unwrap();
    }

    /// Presses keys.
    pub fn press(&self, keys: &str) {
        self.order(&format!("keys {}", serde_json::to_string(keys).unwrap()));
    }

    /// Changes its size.
    pub fn resize(&self, rows: u16, columns: u16) {
        self.order(&format!("size {rows} {columns}"));
    }

    /// Everything that was written, with what moves the cursor and colours.
    pub fn written(&self) -> String {
        self.running.log()
    }

    /// The lines of the screen, without what is blank at their ends.
    pub fn screen(&self) -> Vec<String> {
        shown(&self.written())
    }

    /// Waits until the screen is as it should be.
    pub async fn until(&self, what: &str, holds: impl Fn(&[String]) -> bool) {
        eventually(SOON, async || {
            let screen = self.screen();
            if holds(&screen) { Ok(()) } else { Err(format!("not {what}:\n{}", screen.join("\n"))) }
        })
        .await;
    }

    /// Waits until the command has ended by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        eventually(SOON, async || self.running.exited().ok_or("still running")).await
    }
}

/// What stands on the screen after all this was written to it.
fn shown(written: &str) -> Vec<String> {
    let mut cells = vec![vec![' '; COLUMNS]; ROWS];
    let (mut row, mut column) = (0, 0);
    let mut rest = written;
    while let Some(letter) = rest.chars().next() {
        rest = &rest[letter.len_utf8()..];
        match letter {
            '\x1b' if rest.starts_with('[') => {
                let end = rest.find(|c: char| matches!(c, '@'..='Z' | 'a'..='z')).unwrap_or(rest.len() - 1);
                let (numbers, verb) = (&rest[1..end], rest[end..].chars().next());
                let number = |at: usize| numbers.split(';').nth(at).and_then(|n| n.parse::<usize>().ok()).unwrap_or(1);
                match verb {
                    Some('H') => (row, column) = (number(0) - 1, number(1) - 1),
                    Some('J') if numbers == "2" => cells.iter_mut().for_each(|line| line.fill(' ')),
                    Some('J') => {
                        cells[row][column..].fill(' ');
                        cells[row + 1..].iter_mut().for_each(|line| line.fill(' '));
                    }
                    Some('K') => cells[row][column..].fill(' '),
                    _ => {}
                }
                rest = &rest[(end + 1).min(rest.len())..];
            }
            '\x1b' => rest = rest.get(1..).unwrap_or_default(),
            '\r' => column = 0,
            '\n' => row += 1,
            _ => {
                if let Some(cell) = cells.get_mut(row).and_then(|line| line.get_mut(column)) {
                    *cell = letter;
                }
                column += 1;
            }
        }
    }
    cells.iter().map(|line| line.iter().collect::<String>().trim_end().to_owned()).collect()
}

#[test]
fn what_is_written_stands_where_the_cursor_was() {
    let screen = shown("old\x1b[?1049h\x1b[2J\x1b[2;3Hone\x1b[1;1H\x1b[1mtwo\x1b[0m\x1b[3;1Hgone\x1b[3;2H\x1b[K");
    assert_eq!(screen[..3], ["two", "  one", "g"]);
}
