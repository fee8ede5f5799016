//! The profiles that come with Posthorn.

use super::FileProfile;

pub fn profiles() -> &'static [FileProfile] {
    &[]
}
