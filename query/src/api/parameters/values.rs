//! The values of a query string as serde reads them.
//!
//! Enters: strings by name. Leaves: what the struct of parameters needs: one value or several, text, a number or an
//! enum variant. An error is one sentence for the caller. Pure.

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use serde::de::value::{MapDeserializer, SeqDeserializer, StringDeserializer};
use serde::de::{self, Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

/// Why a value is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// A missing parameter.
    #[error("{0} is required")]
    Missing(&'static str),
    /// What it should be.
    #[error("{0}")]
    Invalid(String),
}

impl de::Error for ValueError {
    fn custom<T: Display>(reason: T) -> Self {
        Self::Invalid(reason.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::Missing(field)
    }

    fn unknown_variant(_: &str, expected: &'static [&'static str]) -> Self {
        Self::Invalid(format!("expected one of {}", expected.join(", ")))
    }

    fn invalid_value(_: de::Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        Self::Invalid(format!("expected {expected}"))
    }
}

/// All values that one parameter was given.
#[derive(Debug, Clone)]
pub struct Values(Vec<String>);

impl Values {
    /// A deserializer for a struct of parameters.
    pub fn of_all(
        values: BTreeMap<String, Vec<String>>,
    ) -> MapDeserializer<'static, impl Iterator<Item = (String, Values)>, ValueError> {
        MapDeserializer::new(values.into_iter().map(|(name, values)| (name, Self(values))))
    }

    fn one(self) -> Result<String, ValueError> {
        let mut values = self.0.into_iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(value),
            _ => Err(ValueError::Invalid("is given more than once".to_owned())),
        }
    }

    fn parsed<T: std::str::FromStr>(self, expected: &str) -> Result<T, ValueError> {
        let value = self.one()?;
        value
            .parse()
            .map_err(|_| ValueError::Invalid(format!("expected {expected}")))
    }
}

impl<'de> IntoDeserializer<'de, ValueError> for Values {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl fmt::Display for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

impl<'de> Deserializer<'de> for Values {
    type Error = ValueError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_string(self.one()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_seq(SeqDeserializer::new(self.0.into_iter().map(|value| Self(vec![value]))))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_bool(self.parsed("true or false")?)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_u32(self.parsed("a whole number")?)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_u64(self.parsed("a whole number")?)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_i64(self.parsed("a whole number")?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_f64(self.parsed("a number")?)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ValueError> {
        let word: StringDeserializer<ValueError> = self.one()?.into_deserializer();
        word.deserialize_enum(name, variants, visitor)
    }

    /// Parameters of the other struct may be repeated if that struct allows it.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ValueError> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u128 f32 char str string bytes byte_buf unit unit_struct tuple tuple_struct map struct
        identifier
    }
}
