//! Where values come from: reads each source into a tree, refuses keys that the defaults do not have, and merges the trees.

use std::io::Read;
use std::path::Path;

use config::{Config, FileFormat, Map, Source, Value, ValueKind};

use super::{ConfigError, DEFAULTS, Inputs, Problem, Settings};

const ENVIRONMENT_PREFIX: &str = "FLEETBEAT__";
/// The key under which a file may nest everything.
const WRAPPER: &str = "cluster_registry";
/// Longest settings file read, in bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// A key that there is none of, on purpose.
const NEVER_VERIFY: ((&str, &str), &str) = (
    ("probes.", "allow_insecure_skip_tls_verify"),
    "cannot be set: certificates of clusters are always verified; trust a private authority with `probes.ca_file`, or with a \
     cluster's own `ca_bundle` and `tls_server_name`",
);
/// Of each pair a later source that sets one clears the other.
const ALTERNATIVES: [(&str, &str); 2] = [("database_url", "database_url_file"), ("redis_url", "redis_url_file")];

type Tree = Map<String, Value>;

/// The merged sources, each value with its origin.
pub(super) struct Merged(Config);

impl Merged {
    /// Reads the merged values into types.
    pub fn deserialize(&self) -> Result<Settings, Problem> {
        self.0.clone().try_deserialize().map_err(|error| self.translate(error))
    }

    /// A problem with the value of a key, naming where the value was set.
    pub fn problem(&self, key: &str, message: String) -> Problem {
        let origin = self.origin(key);
        let source = origin.as_deref().unwrap_or("merged settings");
        Problem { key: key.to_owned(), source: source.to_owned(), message }
    }

    fn origin(&self, key: &str) -> Option<String> {
        let mut tree = self.0.collect().ok()?;
        let mut names = key.split('[').next()?.split('.').peekable();
        loop {
            let value = tree.remove(names.next()?)?;
            let origin = value.origin().map(str::to_owned);
            match value.kind {
                ValueKind::Table(inner) if names.peek().is_some() => tree = inner,
                _ => return origin,
            }
        }
    }

    fn translate(&self, error: config::ConfigError) -> Problem {
        use config::ConfigError::{At, Type};
        match error {
            Type { unexpected, expected, key: Some(key), .. } => {
                self.problem(&key, format!("must be {expected}, not {unexpected}"))
            }
            At { error, key: Some(key), .. } => self.problem(&key, error.to_string()),
            other => self.problem("", other.to_string()),
        }
    }
}

/// Merges the defaults and all inputs.
pub(super) fn merge(inputs: &Inputs) -> Result<Merged, ConfigError> {
    let defaults = defaults()?;
    let mut layers = Vec::new();
    if let Some(path) = &inputs.file {
        layers.push(read_file(path)?);
    }
    layers.extend(environment_values(inputs).map(|(key, origin, text)| leaf(&key, &origin, text)));
    layers.extend(inputs.flags.iter().map(|(key, text)| {
        let origin = format!("command line, {key}");
        leaf(key, &origin, text)
    }));
    build(defaults, layers)
}

fn build(defaults: Tree, layers: Vec<Tree>) -> Result<Merged, ConfigError> {
    let mut problems = Vec::new();
    let mut builder = Config::builder().add_source(Layer(defaults.clone()));
    for mut layer in layers {
        conform(&mut layer, &defaults, "", &mut problems);
        for (url, file) in ALTERNATIVES {
            choose_one(&mut layer, url, file, &mut problems);
        }
        builder = builder.add_source(Layer(layer));
    }
    if !problems.is_empty() {
        return Err(ConfigError { problems });
    }
    let merged = builder.build().map_err(|error| Problem {
        key: String::new(),
        source: "merged settings".to_owned(),
        message: error.to_string(),
    })?;
    Ok(Merged(merged))
}

/// The tree of the built-in defaults: also the list of all keys there are.
pub(super) fn defaults() -> Result<Tree, Problem> {
    parse(DEFAULTS, "built-in defaults")
}

fn read_file(path: &Path) -> Result<Tree, Problem> {
    let origin = path.display().to_string();
    let mut text = String::new();
    std::fs::File::open(path).and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text)).map_err(
        |error| Problem { key: String::new(), source: origin.clone(), message: format!("cannot be read: {error}") },
    )?;
    let mut tree = parse(&text, &origin)?;
    if let Some(ValueKind::Table(inner)) = tree.remove(WRAPPER).map(|value| value.kind) {
        tree.extend(inner);
    }
    Ok(tree)
}

fn parse(text: &str, origin: &str) -> Result<Tree, Problem> {
    let parsed = Config::builder()
        .add_source(config::File::from_str(text, FileFormat::Yaml))
        .build()
        .and_then(|parsed| parsed.collect());
    let mut tree = parsed.map_err(|error| Problem {
        key: String::new(),
        source: origin.to_owned(),
        message: match error {
            config::ConfigError::FileParse { cause, .. } => format!("is not valid YAML: {cause}"),
            other => other.to_string(),
        },
    })?;
    mark(&mut tree, origin);
    Ok(tree)
}

fn mark(tree: &mut Tree, origin: &str) {
    for value in tree.values_mut() {
        let mut kind = std::mem::replace(&mut value.kind, ValueKind::Nil);
        if let ValueKind::Table(inner) = &mut kind {
            mark(inner, origin);
        }
        *value = Value::new(Some(&origin.to_owned()), kind);
    }
}

fn environment_values(inputs: &Inputs) -> impl Iterator<Item = (String, String, &str)> {
    inputs.environment.iter().filter_map(|(name, text)| {
        let key = name.strip_prefix(ENVIRONMENT_PREFIX)?;
        let key = key.to_ascii_lowercase().replace("__", ".");
        Some((key, format!("environment, {name}"), text.as_str()))
    })
}

/// A tree with one value, at a dotted key.
fn leaf(key: &str, origin: &str, text: &str) -> Tree {
    let origin = origin.to_owned();
    let (first, rest) = match key.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (key, None),
    };
    let kind = match rest {
        Some(rest) => ValueKind::Table(leaf(rest, &origin, text)),
        None => ValueKind::String(text.to_owned()),
    };
    Tree::from_iter([(first.to_owned(), Value::new(Some(&origin), kind))])
}

/// Compares a tree with the defaults: unknown keys and values of the wrong shape are problems, keys without a value are
/// dropped, and a text where a list belongs is read as a list (in brackets) or split at its commas.
fn conform(tree: &mut Tree, known: &Tree, prefix: &str, problems: &mut Vec<Problem>) {
    tree.retain(|_, value| !matches!(value.kind, ValueKind::Nil));
    let mut names: Vec<String> = tree.keys().cloned().collect();
    names.sort();
    for name in names {
        let Some(value) = tree.get_mut(&name) else { continue };
        let key = format!("{prefix}{name}");
        let found = match known.get(&name) {
            None => Err(unknown(&name, prefix, known)),
            Some(default) => {
                split_list(value, default);
                shape(value, default, &name)
            }
        };
        match (found, &mut value.kind, known.get(&name).map(|default| &default.kind)) {
            (Err(message), _, _) => {
                problems.push(Problem { key, source: value.origin().unwrap_or("merged").to_owned(), message })
            }
            (Ok(()), ValueKind::Table(inner), Some(ValueKind::Table(known))) => {
                conform(inner, known, &format!("{key}."), problems);
            }
            (Ok(()), _, _) => {}
        }
    }
}

fn split_list(value: &mut Value, default: &Value) {
    if let (ValueKind::String(text), ValueKind::Array(_)) = (&value.kind, &default.kind) {
        let origin = value.origin().map(str::to_owned);
        if let Some(list) = bracketed(text) {
            *value = Value::new(origin.as_ref(), list);
            return;
        }
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let items = items.map(|item| Value::new(origin.as_ref(), item)).collect();
        *value = Value::new(origin.as_ref(), ValueKind::Array(items));
    }
}

/// A list in brackets, as YAML and JSON write it.
fn bracketed(text: &str) -> Option<ValueKind> {
    if !text.trim_start().starts_with('[') {
        return None;
    }
    let source = config::File::from_str(&format!("list: {text}"), FileFormat::Yaml);
    let list = Config::builder().add_source(source).build().ok()?.collect().ok()?.remove("list")?;
    Some(list.kind).filter(|kind| matches!(kind, ValueKind::Array(_)))
}

/// Refuses what the conversion to types would quietly bend, such as 2.7 where a whole number belongs.
fn shape(value: &Value, default: &Value, name: &str) -> Result<(), String> {
    use ValueKind::{Array, Boolean, Float, I64, Table};
    let fraction_allowed = name.ends_with("_seconds") || name.ends_with("_ms");
    match (&value.kind, &default.kind) {
        (Table(_), Table(_)) | (Array(_), Array(_)) => Ok(()),
        (_, Table(_)) => Err("must be a section of keys".to_owned()),
        (_, Array(_)) => Err("must be a list".to_owned()),
        (Table(_) | Array(_), _) => Err("must be a single value".to_owned()),
        (Float(_), I64(_)) if !fraction_allowed => Err("must be a whole number".to_owned()),
        (Boolean(_), I64(_) | Float(_)) => Err("must be a number".to_owned()),
        (I64(_) | Float(_), Boolean(_)) => Err("must be `true` or `false`".to_owned()),
        _ => Ok(()),
    }
}

fn unknown(name: &str, prefix: &str, known: &Tree) -> String {
    if (prefix, name) == NEVER_VERIFY.0 {
        return NEVER_VERIFY.1.to_owned();
    }
    let closest = known
        .keys()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 5)
        .min();
    match closest {
        Some((_, candidate)) => format!("unknown key; did you mean `{prefix}{candidate}`?"),
        None => "unknown key".to_owned(),
    }
}

/// How many letters have to be changed, added or removed to turn one word into the other.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in to.chars().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

fn choose_one(layer: &mut Tree, url: &str, file: &str, problems: &mut Vec<Problem>) {
    let origin = |key: &str| {
        layer
            .get(key)
            .filter(|value| !matches!(&value.kind, ValueKind::String(text) if text.is_empty()))
            .map(|value| value.origin().unwrap_or("merged").to_owned())
    };
    let clear = match (origin(url), origin(file)) {
        (Some(source), Some(_)) => {
            return problems.push(Problem {
                key: url.to_owned(),
                source,
                message: format!("set this or `{file}`, not both"),
            });
        }
        (Some(source), None) => (file, source),
        (None, Some(source)) => (url, source),
        (None, None) => return,
    };
    let (key, source) = clear;
    layer.insert(key.to_owned(), Value::new(Some(&source), ""));
}

#[derive(Debug, Clone)]
struct Layer(Tree);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Tree, config::ConfigError> {
        Ok(self.0.clone())
    }
}
