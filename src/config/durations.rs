//! Durations as they stand in settings: a number, its unit in the key's name. Fractions are allowed.

use std::time::Duration;

use serde::Serializer;
use serde::de::{Deserialize, Deserializer, Error};

fn parse<'de, D: Deserializer<'de>>(deserializer: D, unit: f64) -> Result<Duration, D::Error> {
    let number = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(number * unit)
        .map_err(|_| D::Error::custom("must be a number from 0 up, not beyond what a clock can count"))
}

fn show<S: Serializer>(number: f64, serializer: S) -> Result<S::Ok, S::Error> {
    if number.fract() == 0.0 && number < 9e15 {
        serializer.serialize_u64(number as u64)
    } else {
        serializer.serialize_f64(number)
    }
}

/// `#[serde(with = "seconds")]`
pub(super) mod seconds {
    use super::*;

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        parse(deserializer, 1.0)
    }

    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        show(value.as_secs_f64(), serializer)
    }
}

/// `#[serde(with = "millis")]`
pub(super) mod millis {
    use super::*;

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        parse(deserializer, 0.001)
    }

    pub fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        show(value.as_secs_f64() * 1000.0, serializer)
    }
}

/// `#[serde(with = "optional_seconds")]`
pub(super) mod optional_seconds {
    use super::*;

    struct Seconds(Duration);

    impl<'de> Deserialize<'de> for Seconds {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            parse(deserializer, 1.0).map(Self)
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Seconds>::deserialize(deserializer)?.map(|seconds| seconds.0))
    }

    pub fn serialize<S: Serializer>(value: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => show(value.as_secs_f64(), serializer),
            None => serializer.serialize_none(),
        }
    }
}
