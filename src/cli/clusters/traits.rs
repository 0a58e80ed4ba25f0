//! Flags that describe a cluster, shared by `add` and `import`.

use clap::Args;
use serde_json::{Map, Value};

use crate::cli::words;

/// What a cluster is, besides its name and address.
#[derive(Args, Clone, Debug, Default)]
pub struct Traits {
    /// What part it plays: decides how often it is checked [the server's default: SPOKE]
    #[arg(long = "type", value_parser = words::cluster_type(), ignore_case = true, value_name = "TYPE")]
    cluster_type: Option<String>,
    /// What it is used for [the server's default: DEVELOPMENT]
    #[arg(long, value_parser = words::environment(), ignore_case = true)]
    environment: Option<String>,
    /// What it runs [the server's default: OPENSHIFT]
    #[arg(long, value_parser = words::platform(), ignore_case = true)]
    platform: Option<String>,
    /// Where it is
    #[arg(long)]
    region: Option<String>,
    /// A label; repeat it for several
    #[arg(long = "label", value_parser = words::label, value_name = "KEY=VALUE")]
    labels: Vec<(String, String)>,
}

impl Traits {
    /// The fields that were given, for a registration. Those already in it stay.
    pub fn fill(&self, fields: &mut Map<String, Value>) {
        let given = [
            ("cluster_type", &self.cluster_type),
            ("environment", &self.environment),
            ("platform", &self.platform),
            ("region", &self.region),
        ];
        for (name, value) in given {
            if let Some(value) = value {
                fields.entry(name).or_insert_with(|| Value::from(value.as_str()));
            }
        }
        if !self.labels.is_empty() {
            let labels: Map<_, _> =
                self.labels.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
            fields.entry("labels").or_insert_with(|| labels.into());
        }
    }
}
