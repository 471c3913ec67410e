//! `github`, `gitlab`, `gitea`, `bitbucket-cloud`.

use super::{base_url, client, flag, or, tls};
use crate::manifest::dex::config::Surroundings;
use crate::manifest::dex::section::Section;
use crate::objects::Fault;
use crate::snapshot::{
    BitbucketConnector, GitHubConnector, GitLabConnector, GiteaConnector, Organization, TeamName,
};

pub(super) fn github(
    config: &Section<'_>,
    around: &Surroundings<'_>,
) -> Result<GitHubConnector, Fault> {
    let mut organizations = organizations(config)?;
    let single = config.text("org")?;
    let bare_teams = single.is_some();
    if let Some(name) = single {
        if !organizations.is_empty() {
            let fault = "`org` and `orgs` exclude each other";
            return Err(config.field.fault(fault, "keep `orgs`"));
        }
        organizations.push(Organization {
            name,
            teams: Vec::new(),
        });
    }
    let host = config.text("hostName")?;
    if let Some(host) = &host
        && host.contains('/')
    {
        let fault = format!("`hostName` is no name of a host: `{host}`");
        return Err(config.field.fault(fault, "write it as `git.example.com`"));
    }
    if host.is_none() && config.child("rootCA").is_some() {
        let fault = "`rootCA` has no effect without `hostName`";
        return Err(config.field.fault(fault, "add `hostName`"));
    }
    let preferred_email_domain = or(config, "preferredEmailDomain", "")?;
    if preferred_email_domain.rsplit('.').next() == Some("*") {
        let fault = "the last part of `preferredEmailDomain` cannot be `*`";
        return Err(config.field.fault(fault, "write it as `*.example.com`"));
    }
    Ok(GitHubConnector {
        client: client(config)?,
        organizations,
        bare_teams,
        load_all_groups: flag(config, "loadAllGroups")?,
        team_name: match config.text("teamNameField")?.as_deref() {
            None | Some("name") => TeamName::Name,
            Some("slug") => TeamName::Slug,
            Some("both") => TeamName::Both,
            Some(other) => {
                let fault = format!("`teamNameField` cannot be `{other}`");
                return Err(config.field.fault(fault, "write `name`, `slug` or `both`"));
            }
        },
        host,
        tls: tls(config, &["rootCA"], "", around)?,
        login_as_id: flag(config, "useLoginAsID")?,
        preferred_email_domain,
    })
}

fn organizations(config: &Section<'_>) -> Result<Vec<Organization>, Fault> {
    let mut found = Vec::new();
    for item in config.items("orgs")? {
        let item = Section::of(item)?;
        found.push(Organization {
            name: item.needed("name")?,
            teams: item.texts("teams")?,
        });
    }
    Ok(found)
}

pub(super) fn gitlab(
    config: &Section<'_>,
    around: &Surroundings<'_>,
) -> Result<GitLabConnector, Fault> {
    Ok(GitLabConnector {
        client: client(config)?,
        base_url: base_url(config, "baseURL", "https://gitlab.com")?,
        groups: config.texts("groups")?,
        login_as_id: flag(config, "useLoginAsID")?,
        permissions: flag(config, "getGroupsPermission")?,
        tls: tls(config, &["rootCAData"], "", around)?,
    })
}

pub(super) fn gitea(config: &Section<'_>) -> Result<GiteaConnector, Fault> {
    Ok(GiteaConnector {
        client: client(config)?,
        base_url: base_url(config, "baseURL", "https://gitea.com")?,
        organizations: organizations(config)?,
        load_all_groups: flag(config, "loadAllGroups")?,
        login_as_id: flag(config, "useLoginAsID")?,
    })
}

pub(super) fn bitbucket(config: &Section<'_>) -> Result<BitbucketConnector, Fault> {
    Ok(BitbucketConnector {
        client: client(config)?,
        teams: config.texts("teams")?,
        permissions: flag(config, "getWorkspacePermissions")?,
    })
}
