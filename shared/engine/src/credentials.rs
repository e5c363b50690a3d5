//! stub
use bollard::auth::DockerCredentials;
/// stub
#[derive(Clone, Debug)]
pub struct Credentials;
impl Credentials {
    pub(crate) fn into_api(self) -> DockerCredentials { DockerCredentials::default() }
}
