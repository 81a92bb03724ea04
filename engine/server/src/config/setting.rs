//! What keys hold: how it is read from TOML and checked, and how it is written back.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use base::Secret;
use toml::Spanned;
use toml::de::DeValue;

use super::Header;
use super::problem::is_shown;
use super::rates::RATE_MAX;
use super::tables::Tables;

pub(crate) type Value<'a> = Spanned<DeValue<'a>>;

/// What is right for a key. Its `Display` form completes "has to be".
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Flag,
    Whole {
        least: u64,
        most: u64,
        /// Empty for a plain number.
        unit: &'static str,
    },
    Number {
        least: f64,
        most: f64,
    },
    /// By its length in bytes.
    Text {
        least: usize,
        most: usize,
    },
    Word(&'static [&'static str]),
    Path {
        /// Whether it may be empty.
        is_optional: bool,
    },
    /// Empty for none.
    Url,
    Address {
        /// Whether it may be empty.
        is_optional: bool,
    },
    /// `Name=value`.
    Header,
    List(&'static Kind),
    Rate,
    Shard,
    Issuer,
    Tables(&'static Tables),
}

/// The type of a key's field.
pub(crate) trait Setting {
    /// Takes the value if it is right.
    fn set(&mut self, value: &Value<'_>, kind: &Kind) -> Result<(), Vec<Wrong>>;

    /// The value as TOML, secret or not.
    fn toml(&self) -> String;

    /// The value as TOML, without the parts of URLs in which secrets stand.
    fn shown(&self, _: &Kind) -> String {
        self.toml()
    }
}

/// Why a value is not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// Where it stands in its text.
    pub at: usize,
    /// The value, as far as it fits into a sentence.
    shown: Option<String>,
    /// The rest of the sentence, which never shows a value.
    what: String,
    /// Whether that is all of the sentence, and begins with a place in the key's value.
    is_whole: bool,
}

/// More of a value is not repeated.
const SHOWN_MAX: usize = 60;
/// The longest path that the system takes.
const PATH_MAX: usize = 4095;

impl From<Wrong> for Vec<Wrong> {
    fn from(wrong: Wrong) -> Self {
        vec![wrong]
    }
}

impl Wrong {
    pub(crate) fn new(value: &Value<'_>, what: impl Into<String>) -> Wrong {
        let shown = match value.get_ref() {
            DeValue::String(text) if text.chars().count() > SHOWN_MAX => None,
            DeValue::String(text) => Some(quote(text)),
            DeValue::Integer(number) if number.as_str().len() > SHOWN_MAX => None,
            DeValue::Float(number) if number.as_str().len() > SHOWN_MAX => None,
            DeValue::Integer(number) => Some(number.to_string()),
            DeValue::Float(number) => Some(number.to_string()),
            DeValue::Boolean(flag) => Some(flag.to_string()),
            DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
        };
        Wrong { at: value.span().start, shown, what: what.into(), is_whole: false }
    }

    /// `place: what`, as in `[1].id: is missing`.
    pub(crate) fn within(at: usize, what: String) -> Wrong {
        Wrong { at, shown: None, what, is_whole: true }
    }

    pub(crate) fn of_type(value: &Value<'_>) -> Wrong {
        let what = match value.get_ref() {
            DeValue::String(_) => "is text",
            DeValue::Integer(_) => "is a whole number",
            DeValue::Float(_) => "is a number with a point",
            DeValue::Boolean(_) => "is true or false",
            DeValue::Datetime(_) => "is a date or a time",
            DeValue::Array(_) => "is a list",
            DeValue::Table(_) => "is a table",
        };
        Wrong::new(value, what)
    }

    fn out_of_range(value: &Value<'_>) -> Wrong {
        Wrong::new(value, "is out of range")
    }

    /// The sentence behind the name of the key. A secret is not in it.
    pub(crate) fn sentence(&self, is_secret: bool, kind: &Kind) -> String {
        let what = &self.what;
        if self.is_whole {
            return what.clone();
        }
        let shown = self.shown.as_deref().filter(|_| !is_secret).unwrap_or("the value");
        format!(": {shown} {what}, and has to be {kind}")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Flag => f.write_str("true or false"),
            Kind::Whole { least, most, unit: "" } => {
                write!(f, "a whole number, {least} to {most}")
            }
            Kind::Whole { least, most, unit } => {
                write!(f, "a whole number of {unit}, {least} to {most}")
            }
            Kind::Number { least, most } => write!(f, "a number, {least} to {most}"),
            Kind::Text { least: 0, most } => write!(f, "text of at most {most} bytes"),
            Kind::Text { least, most } => write!(f, "text of {least} to {most} bytes"),
            Kind::Word(words) => match words {
                [first @ .., last] if !first.is_empty() => {
                    write!(f, "\"{}\" or \"{last}\"", first.join("\", \""))
                }
                words => write!(f, "\"{}\"", words.join("")),
            },
            Kind::Path { is_optional: false } => f.write_str("a path"),
            Kind::Path { is_optional: true } => f.write_str("a path, or empty"),
            Kind::Url => f.write_str("a URL of http or https without a password, or empty"),
            Kind::Address { is_optional: false } => {
                f.write_str("address:port, such as 127.0.0.1:7350")
            }
            Kind::Address { is_optional: true } => {
                f.write_str("address:port, such as 127.0.0.1:7350, or empty")
            }
            Kind::Header => f.write_str("Name=value"),
            Kind::List(item) => write!(f, "a list, of which each is {item}"),
            Kind::Rate => write!(
                f,
                "{{ per_sec = N, burst = N }} with 1 to {RATE_MAX} each, or {{}} for no limit"
            ),
            Kind::Shard => f.write_str("the number of a shard, from 0, or \"any\""),
            Kind::Tables(_) => f.write_str("a list of tables"),
            Kind::Issuer => f.write_str("{ name, issuer, audience, jwks_url }, none of them empty"),
        }
    }
}

/// A text as a string of TOML.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            letter if is_shown(letter) => quoted.push(letter),
            letter => match u32::from(letter) {
                short @ ..=0xFFFF => quoted.push_str(&format!("\\u{short:04X}")),
                long => quoted.push_str(&format!("\\U{long:08X}")),
            },
        }
    }
    quoted.push('"');
    quoted
}

pub(crate) fn text<'a>(value: &'a Value<'_>, kind: &Kind) -> Result<&'a str, Wrong> {
    let DeValue::String(text) = value.get_ref() else {
        return Err(Wrong::of_type(value));
    };
    match kind {
        Kind::Text { least, .. } if text.len() < *least => Err(Wrong::new(value, "is too short")),
        Kind::Text { most, .. } if text.len() > *most => Err(Wrong::new(value, "is too long")),
        Kind::Path { is_optional: false } if text.is_empty() => Err(Wrong::new(value, "is empty")),
        Kind::Path { .. } if text.len() > PATH_MAX => Err(Wrong::new(value, "is too long")),
        // Somebody may have put a password into it.
        Kind::Url if !is_url(text) => Err(Wrong { shown: None, ..Wrong::new(value, "is no URL") }),
        Kind::Header => {
            Header::parse(text).map(|_| &**text).map_err(|what| Wrong::new(value, what))
        }
        _ => Ok(text),
    }
}

/// The URL up to where keys of whoever is asked may stand.
pub(crate) fn without_parameters(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

fn is_url(text: &str) -> bool {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let is_right = |rest: &str| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        !host.is_empty() && !host.contains('@') && rest.bytes().all(|byte| byte.is_ascii_graphic())
    };
    text.is_empty() || rest.is_some_and(is_right)
}

fn whole(value: &Value<'_>, kind: &Kind) -> Result<u64, Wrong> {
    let DeValue::Integer(number) = value.get_ref() else {
        return Err(Wrong::of_type(value));
    };
    let number = u64::from_str_radix(number.as_str(), number.radix()).ok();
    let is_right = |number: &u64| match kind {
        Kind::Whole { least, most, .. } => (*least..=*most).contains(number),
        _ => true,
    };
    number.filter(is_right).ok_or_else(|| Wrong::out_of_range(value))
}

macro_rules! whole {
    ($($type:ty)*) => {$(
        impl Setting for $type {
            fn set(&mut self, value: &Value<'_>, kind: &Kind) -> Result<(), Vec<Wrong>> {
                let number = whole(value, kind)?;
                *self = <$type>::try_from(number).map_err(|_| Wrong::out_of_range(value))?;
                Ok(())
            }

            fn toml(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

whole!(u32 u64 usize);

impl Setting for bool {
    fn set(&mut self, value: &Value<'_>, _: &Kind) -> Result<(), Vec<Wrong>> {
        let DeValue::Boolean(flag) = value.get_ref() else {
            return Err(Wrong::of_type(value).into());
        };
        *self = *flag;
        Ok(())
    }

    fn toml(&self) -> String {
        self.to_string()
    }
}

impl Setting for f64 {
    fn set(&mut self, value: &Value<'_>, kind: &Kind) -> Result<(), Vec<Wrong>> {
        let digits = match value.get_ref() {
            DeValue::Float(number) => number.as_str(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            _ => return Err(Wrong::of_type(value).into()),
        };
        let number = digits.parse().map_err(|_| Wrong::out_of_range(value))?;
        if let Kind::Number { least, most } = kind
            && !(*least..=*most).contains(&number)
        {
            return Err(Wrong::out_of_range(value).into());
        }
        *self = number;
        Ok(())
    }

    fn toml(&self) -> String {
        format!("{self:?}")
    }
}

impl Setting for String {
    fn set(&mut self, value: &Value<'_>, kind: &Kind) -> Result<(), Vec<Wrong>> {
        text(value, kind)?.clone_into(self);
        Ok(())
    }

    fn toml(&self) -> String {
        quote(self)
    }

    fn shown(&self, kind: &Kind) -> String {
        let is_url = matches!(kind, Kind::Url);
        if is_url { quote(without_parameters(self)) } else { self.toml() }
    }
}

impl Setting for Secret {
    fn set(&mut self, value: &Value<'_>, kind: &Kind) -> Result<(), Vec<Wrong>> {
        self.0.set(value, kind)
    }

    fn toml(&self) -> String {
        self.0.toml()
    }
}

impl Setting for PathBuf {
    fn set(&mut self, value: &Value<'_>, kind: &Kind) -> Result<(), Vec<Wrong>> {
        *self = PathBuf::from(text(value, kind)?);
        Ok(())
    }

    fn toml(&self) -> String {
        quote(&self.to_string_lossy())
    }
}

impl Setting for SocketAddr {
    fn set(&mut self, value: &Value<'_>, kind: &Kind) -> Result<(), Vec<Wrong>> {
        let address = text(value, kind)?.parse();
        *self = address.map_err(|_| Wrong::new(value, "is no address"))?;
        Ok(())
    }

    fn toml(&self) -> String {
        quote(&self.to_string())
    }
}

impl Setting for Option<SocketAddr> {
    fn set(&mut self, value: &Value<'_>, kind: &Kind) -> Result<(), Vec<Wrong>> {
        *self = match text(value, kind)? {
            "" => None,
            text => Some(text.parse().map_err(|_| Wrong::new(value, "is no address"))?),
        };
        Ok(())
    }

    fn toml(&self) -> String {
        quote(&self.map(|address| address.to_string()).unwrap_or_default())
    }
}

impl Setting for Header {
    fn set(&mut self, value: &Value<'_>, kind: &Kind) -> Result<(), Vec<Wrong>> {
        *self = Header::parse(text(value, kind)?).map_err(|what| Wrong::new(value, what))?;
        Ok(())
    }

    fn toml(&self) -> String {
        let (name, value) = &self.0;
        quote(&format!("{name}={value}"))
    }
}

impl<T: Setting + Default> Setting for Vec<T> {
    fn set(&mut self, value: &Value<'_>, kind: &Kind) -> Result<(), Vec<Wrong>> {
        let (DeValue::Array(values), Kind::List(kind)) = (value.get_ref(), kind) else {
            return Err(Wrong::of_type(value).into());
        };
        let (mut items, mut wrong) = (Vec::new(), Vec::new());
        for value in &**values {
            let mut item = T::default();
            match item.set(value, kind) {
                Ok(()) => items.push(item),
                Err(more) => wrong.extend(more),
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        *self = items;
        Ok(())
    }

    fn toml(&self) -> String {
        let items: Vec<_> = self.iter().map(Setting::toml).collect();
        format!("[{}]", items.join(", "))
    }

    fn shown(&self, kind: &Kind) -> String {
        let items: Vec<_> = self.iter().map(|item| item.shown(kind)).collect();
        format!("[{}]", items.join(", "))
    }
}

/// The number of a shard; `None` is any.
impl Setting for Option<usize> {
    fn set(&mut self, value: &Value<'_>, kind: &Kind) -> Result<(), Vec<Wrong>> {
        *self = match value.get_ref() {
            DeValue::String(word) if word == "any" => None,
            _ => {
                let number = whole(value, kind)?;
                Some(usize::try_from(number).map_err(|_| Wrong::out_of_range(value))?)
            }
        };
        Ok(())
    }

    fn toml(&self) -> String {
        self.map_or_else(|| quote("any"), |number| number.to_string())
    }
}

/// Makes an enum a setting, a word for each variant.
macro_rules! words {
    ($type:ident { $($word:literal => $variant:ident),+ $(,)? }) => {
        impl $type {
            pub(crate) const KIND: Kind = Kind::Word(&[$($word),+]);
        }

        impl Setting for $type {
            fn set(&mut self, value: &Value<'_>, kind: &Kind) -> Result<(), Vec<Wrong>> {
                *self = match text(value, kind)? {
                    $($word => $type::$variant,)+
                    _ => return Err(Wrong::new(value, "is none of the words").into()),
                };
                Ok(())
            }

            fn toml(&self) -> String {
                quote(match self {
                    $($type::$variant => $word,)+
                })
            }
        }
    };
}
