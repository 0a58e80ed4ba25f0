//! `fleetbeat context`: servers by name, in a file of the user's. It holds where a token is found, never a token.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, Subcommand};
use serde::{Deserialize, Serialize};

use super::client::base_url;
use super::error::CliError;
use super::output;
use super::paint::Paint;
use super::table::{self, Cell};

/// Largest file read, in bytes.
const MAX_FILE: u64 = 1 << 20;

/// Name servers, and choose the one that is asked
#[derive(Args)]
#[command(after_help = "\
Examples:
  fleetbeat context add prod --server https://fleet.example.com --token-file ~/.config/fleetbeat/prod-token
  fleetbeat context add lab --server http://127.0.0.1:8080 --token-variable LAB_TOKEN
  fleetbeat context use prod
  fleetbeat context list
  fleetbeat --at lab clusters list       once, another one

They are kept in $XDG_CONFIG_HOME/fleetbeat/contexts.yaml (~/.config where that is not set), mode 0600. FLEETBEAT_SERVER and --server
win over the chosen context, and then its token is not sent.")]
pub struct ContextArguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Name a server, or change what a name stands for
    Add(AddArguments),
    /// Choose the server that is asked from now on
    Use {
        /// Its name
        name: String,
    },
    /// List the servers; the chosen one is marked
    #[command(visible_alias = "ls")]
    List,
    /// Forget a server
    #[command(visible_alias = "remove")]
    Rm {
        /// Its name
        name: String,
    },
}

#[derive(Args)]
#[command(group = ArgGroup::new("token").args(["file", "variable"]))]
struct AddArguments {
    /// What to call it
    name: String,
    /// Where fleetbeat serves its API
    #[arg(long, value_name = "URL")]
    server: String,
    /// PEM file of the authorities to trust for an https server, in place of the system's
    #[arg(long = "server-ca", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// File that holds the API token
    #[arg(long = "token-file", id = "file", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Variable of the environment that holds the API token
    #[arg(long = "token-variable", id = "variable", value_name = "NAME")]
    token_variable: Option<String>,
    /// Choose it, too
    #[arg(long = "use")]
    choose: bool,
}

/// A server by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// Where it is.
    pub server: String,
    /// The authorities to trust for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_ca: Option<PathBuf>,
    /// File that holds its token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// Variable of the environment that holds its token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_variable: Option<String>,
}

/// The user's file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contexts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    #[serde(default)]
    contexts: BTreeMap<String, Context>,
}

/// The context of a name, or the chosen one; `None` when there is no name and none is chosen.
///
/// # Errors
/// When there is no such context, or the file cannot be read.
pub fn chosen(name: Option<&str>) -> Result<Option<Context>, CliError> {
    let Some(path) = path() else { return Ok(None) };
    let mut known = Contexts::read(&path)?;
    match name.map(str::to_owned).or(known.current) {
        None => Ok(None),
        Some(name) => known.contexts.remove(&name).map(Some).ok_or_else(|| unknown(&name)),
    }
}

/// Does one of the commands.
///
/// # Errors
/// Those of the file, and names that there are not.
pub fn run(arguments: &ContextArguments, paint: Paint) -> Result<(), CliError> {
    let path = path().ok_or_else(|| CliError::Usage("neither XDG_CONFIG_HOME nor HOME is set".to_owned()))?;
    let mut known = Contexts::read(&path)?;
    match &arguments.command {
        Command::List => return output::say(&known.table(paint)),
        Command::Add(add) => known.add(add)?,
        Command::Use { name } if known.contexts.contains_key(name) => known.current = Some(name.clone()),
        Command::Rm { name } if known.contexts.contains_key(name) => known.forget(name),
        Command::Use { name } | Command::Rm { name } => return Err(unknown(name)),
    }
    known.write(&path)
}

fn unknown(name: &str) -> CliError {
    CliError::Usage(format!("there is no context `{name}`; `fleetbeat context list` has them all"))
}

fn path() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || folder("HOME").map(|home| home.join(".config"));
    folder("XDG_CONFIG_HOME").or_else(home).map(|folder| folder.join("fleetbeat/contexts.yaml"))
}

impl Contexts {
    fn read(path: &Path) -> Result<Self, CliError> {
        let failed = || CliError::failed(path.display().to_string());
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Ok(about) if about.len() > MAX_FILE => {
                return Err(CliError::Failed(anyhow::anyhow!("{}: is too long", path.display())));
            }
            Err(error) => return Err(failed()(error)),
            Ok(_) => {}
        }
        let text = std::fs::read_to_string(path).map_err(failed())?;
        serde_saphyr::from_str(&text).map_err(CliError::failed(path.display().to_string()))
    }

    /// Writes a new file beside the old one, readable by its owner only, and puts it in the old one's place.
    fn write(&self, path: &Path) -> Result<(), CliError> {
        let failed = || CliError::failed(path.display().to_string());
        let folder = path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(failed())?;
        let text = serde_saphyr::to_string(self).map_err(CliError::failed("the contexts cannot be written"))?;
        // A temporary file has mode 0600 from its beginning.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed())?;
        file.write_all(text.as_bytes()).map_err(failed())?;
        file.persist(path).map_err(|error| error.error).map_err(failed())?;
        Ok(())
    }

    fn add(&mut self, add: &AddArguments) -> Result<(), CliError> {
        let whole = |path: &PathBuf| std::path::absolute(path).map_err(CliError::failed(path.display().to_string()));
        let context = Context {
            server: base_url(&add.server).map_err(CliError::Usage)?,
            server_ca: add.ca.as_ref().map(whole).transpose()?,
            token_file: add.token_file.as_ref().map(whole).transpose()?,
            token_variable: add.token_variable.clone(),
        };
        self.contexts.insert(add.name.clone(), context);
        if add.choose || self.current.is_none() {
            self.current = Some(add.name.clone());
        }
        Ok(())
    }

    fn forget(&mut self, name: &str) {
        self.contexts.remove(name);
        self.current.take_if(|current| current == name);
    }

    fn table(&self, paint: Paint) -> String {
        let rows = self.contexts.iter().map(|(name, context)| {
            let mark = if self.current.as_deref() == Some(name) { "*" } else { "" };
            let token = match (&context.token_file, &context.token_variable) {
                (Some(file), _) => format!("file {}", file.display()),
                (None, Some(variable)) => format!("variable {variable}"),
                (None, None) => "-".to_owned(),
            };
            vec![Cell::text(mark), Cell::text(name), Cell::text(&context.server), Cell::text(token)]
        });
        table::render(&["", "NAME", "SERVER", "TOKEN"], rows.collect(), paint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(name: &str) -> AddArguments {
        AddArguments {
            name: name.to_owned(),
            server: "127.0.0.1:9".to_owned(),
            ca: None,
            token_file: Some("token".into()),
            token_variable: None,
            choose: false,
        }
    }

    #[test]
    fn the_first_one_is_chosen_and_one_that_is_forgotten_is_not() {
        let mut known = Contexts::default();
        known.add(&add("one")).unwrap();
        known.add(&add("two")).unwrap();
        assert_eq!(known.current.as_deref(), Some("one"));
        assert_eq!(known.contexts["one"].server, "http://127.0.0.1:9");
        assert!(known.contexts["one"].token_file.as_ref().unwrap().is_absolute());
        assert!(known.table(Paint::PLAIN).contains("*  one"));
        known.forget("one");
        assert_eq!(known.current, None);
    }

    #[test]
    fn the_file_is_the_users_alone_and_says_what_was_written() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fleetbeat/contexts.yaml");
        assert_eq!(Contexts::read(&path).unwrap(), Contexts::default());
        let mut known = Contexts::default();
        known.add(&add("one")).unwrap();
        known.write(&path).unwrap();
        assert_eq!(Contexts::read(&path).unwrap(), known);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
