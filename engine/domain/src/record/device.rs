//! Which account a device id signs in. Table 2, key: the device id.

use super::record;

#[derive(Clone, Debug, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
pub struct Device {
    pub user_id: [u8; 16],
}

record!(Device, 2);

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::record::check_bytes;

    #[test]
    fn the_encoding_never_changes() {
        check_bytes(&Device { user_id: [7; 16] }, &expect!["07070707070707070707070707070707"]);
    }
}
