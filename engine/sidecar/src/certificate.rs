//! X.509 certificates whose key signed something (RFC 5280).
//!
//! The chain is not followed: who issued the certificate is not known here. That it is genuine
//! rests on the TLS connection and the host that it came from.

use base::UnixTime;
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

/// Tags of DER.
const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0] EXPLICIT`, around the version.
const VERSION: u8 = 0xa0;

/// A certificate that parses.
pub(crate) struct Certificate {
    der: CertificateDer<'static>,
    not_before: UnixTime,
    not_after: UnixTime,
}

impl Certificate {
    pub(crate) fn parse(der: &[u8]) -> Option<Certificate> {
        let (not_before, not_after) = validity(der)?;
        let der = CertificateDer::from(der.to_vec());
        EndEntityCert::try_from(&der).ok()?;
        Some(Certificate { der, not_before, not_after })
    }

    pub(crate) fn is_valid(&self, now: UnixTime) -> bool {
        self.not_before <= now && now <= self.not_after
    }

    /// Whether a signature (RSA of at least 2048 bits, PKCS#1 v1.5, SHA-256) is by its key.
    pub(crate) fn is_signed(&self, message: &[u8], signature: &[u8]) -> bool {
        EndEntityCert::try_from(&self.der).is_ok_and(|certificate| {
            let algorithm = webpki::ring::RSA_PKCS1_2048_8192_SHA256;
            certificate.verify_signature(algorithm, message, signature).is_ok()
        })
    }
}

/// The first and last second in which a certificate is valid, which webpki tells only together
/// with a chain.
fn validity(der: &[u8]) -> Option<(UnixTime, UnixTime)> {
    let mut input = der;
    let mut certificate = take(&mut input, SEQUENCE)?;
    let mut signed = take(&mut certificate, SEQUENCE)?;
    take(&mut signed, VERSION)?;
    take(&mut signed, INTEGER)?; // serial number
    take(&mut signed, SEQUENCE)?; // signature algorithm
    take(&mut signed, SEQUENCE)?; // issuer
    let mut validity = take(&mut signed, SEQUENCE)?;
    Some((time(&mut validity)?, time(&mut validity)?))
}

/// Takes one element with a tag, and gives what is in it.
fn take<'a>(input: &mut &'a [u8], tag: u8) -> Option<&'a [u8]> {
    let (first, rest) = input.split_first()?;
    if *first != tag {
        return None;
    }
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(*length), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length - 0x80))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    *input = rest;
    Some(content)
}

/// `YYMMDDhhmmssZ` up to 2049, `YYYYMMDDhhmmssZ` behind that.
fn time(input: &mut &[u8]) -> Option<UnixTime> {
    let tag = *input.first()?;
    let text = match tag {
        UTC_TIME | GENERALIZED_TIME => take(input, tag)?,
        _ => return None,
    };
    let mut digits = text.strip_suffix(b"Z")?;
    let mut two = || -> Option<u64> {
        let (pair, rest) = digits.split_at_checked(2)?;
        digits = rest;
        std::str::from_utf8(pair).ok()?.parse().ok()
    };
    let year = if tag == UTC_TIME {
        let year = two()?;
        if year < 50 { 2000 + year } else { 1900 + year }
    } else {
        two()? * 100 + two()?
    };
    let (month, day) = (two()?, two()?);
    let (hour, minute, second) = (two()?, two()?, two()?);
    let in_range = year >= 1970
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61;
    if !in_range || !digits.is_empty() {
        return None;
    }
    let days = days_from_civil(year, month, day);
    Some(UnixTime::from_secs(((days * 24 + hour) * 60 + minute) * 60 + second))
}

/// Days since 1970-01-01 of a later day, in the proleptic Gregorian calendar. Algorithm: Howard
/// Hinnant, "chrono-compatible low-level date algorithms", `days_from_civil`.
fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year }; // a leap day ends a year
    let era = year / 400;
    let year_of_era = year % 400;
    let shifted_month = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tests::sign::{CERTIFICATE, Signer};

    /// The beginnings of 2020 and 2120.
    const NOT_BEFORE: u64 = 1_577_836_800;
    const NOT_AFTER: u64 = 4_733_510_400;

    #[test]
    fn a_certificate_is_valid_within_its_time() {
        let certificate = Certificate::parse(CERTIFICATE).unwrap();
        let is_valid = |secs| certificate.is_valid(UnixTime::from_secs(secs));
        assert!(!is_valid(NOT_BEFORE - 1));
        assert!(is_valid(NOT_BEFORE));
        assert!(is_valid(NOT_AFTER));
        assert!(!is_valid(NOT_AFTER + 1));
    }

    #[test]
    fn a_certificate_knows_the_signatures_of_its_key() {
        let certificate = Certificate::parse(CERTIFICATE).unwrap();
        assert!(certificate.is_signed(b"message", &Signer::first().sign(b"message")));
        assert!(!certificate.is_signed(b"massage", &Signer::first().sign(b"message")));
        assert!(!certificate.is_signed(b"message", &Signer::second().sign(b"message")));
        assert!(!certificate.is_signed(b"message", b""));
    }

    #[test]
    fn times_are_read_in_both_forms() {
        let read = |tag, text: &str| {
            let mut der = vec![tag, u8::try_from(text.len()).unwrap()];
            der.extend(text.bytes());
            time(&mut &der[..]).map(UnixTime::secs)
        };
        assert_eq!(read(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(read(UTC_TIME, "000229000000Z"), Some(951_782_400));
        assert_eq!(read(UTC_TIME, "491231235959Z"), Some(2_524_607_999));
        assert_eq!(read(GENERALIZED_TIME, "20240229235959Z"), Some(1_709_251_199));
        assert_eq!(read(GENERALIZED_TIME, "21000301000000Z"), Some(4_107_542_400));
        for bad in ["690101000000Z", "701301000000Z", "70010100000Z", "7001010000000Z", "", "Z"] {
            assert_eq!(read(UTC_TIME, bad), None, "{bad}");
        }
        assert_eq!(read(UTC_TIME, "700101000000+0100"), None);
        assert_eq!(read(GENERALIZED_TIME, "00000101000000Z"), None);
    }

    #[test]
    fn a_cut_certificate_is_none() {
        for length in 0..CERTIFICATE.len() {
            assert!(Certificate::parse(&CERTIFICATE[..length]).is_none());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes: Vec<u8>, at in 0..CERTIFICATE.len(), byte: u8) {
            Certificate::parse(&bytes);
            let mut certificate = CERTIFICATE.to_vec();
            certificate[at] = byte;
            if let Some(certificate) = Certificate::parse(&certificate) {
                certificate.is_signed(b"message", &bytes);
            }
        }
    }
}
