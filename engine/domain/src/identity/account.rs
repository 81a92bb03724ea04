//! Accounts.

use base::UserId;

use super::device::DeviceId;
use super::username::Username;
use crate::ctx::{Applied, Ctx, Never};
use crate::record;
pub use crate::record::user::User;

/// What a new account begins with.
#[derive(Clone, Debug)]
pub struct NewAccount {
    pub user_id: UserId,
    pub username: Username,
    pub device: DeviceId,
}

/// Creates the account. Its name and device are claimed by operations of their own, in the same
/// batch.
pub fn create(ctx: &mut Ctx<'_>, new: &NewAccount) {
    let now = ctx.now.wall.secs();
    let user = User {
        username: new.username.as_str().to_owned(),
        lang_tag: "en".to_owned(),
        metadata: "{}".to_owned(),
        wallet: "{}".to_owned(),
        devices: vec![new.device.as_str().to_owned()],
        create_time: now,
        update_time: now,
    };
    record::write(ctx, new.user_id.as_bytes(), &user);
}

/// The account of this id.
pub fn read(ctx: &mut Ctx<'_>, id: UserId) -> Applied<Option<User>, Never> {
    record::read(ctx, id.as_bytes())
}
