"""The many addresses that every repository object carries."""


def repository_links(url: str) -> dict[str, str]:
    """Each `..._url` of a repository whose API address is `url`, with GitHub's templates."""
    plain = (
        "forks hooks events tags languages stargazers contributors subscribers subscription merges"
        " downloads deployments"
    )
    templated = {
        "keys": "{/key_id}",
        "collaborators": "{/collaborator}",
        "issue_events": "{/number}",
        "assignees": "{/user}",
        "branches": "{/branch}",
        "blobs": "{/sha}",
        "git_tags": "{/sha}",
        "git_refs": "{/sha}",
        "trees": "{/sha}",
        "statuses": "{/sha}",
        "commits": "{/sha}",
        "git_commits": "{/sha}",
        "comments": "{/number}",
        "issue_comment": "{/number}",
        "contents": "{+path}",
        "compare": "{base}...{head}",
        "issues": "{/number}",
        "pulls": "{/number}",
        "milestones": "{/number}",
        "notifications": "{?since,all,participating}",
        "labels": "{/name}",
        "releases": "{/id}",
        "archive": "{archive_format}{/ref}",
    }
    places = {
        "issue_events": "issues/events",
        "blobs": "git/blobs",
        "git_tags": "git/tags",
        "git_refs": "git/refs",
        "trees": "git/trees",
        "git_commits": "git/commits",
        "issue_comment": "issues/comments",
        "contents": "contents/",
        "compare": "compare/",
        "archive": "",
    }
    links = {f"{name}_url": f"{url}/{name}" for name in plain.split()}
    links |= {f"{name}_url": f"{url}/{places.get(name, name)}{rest}" for name, rest in templated.items()}
    return {**links, "teams_url": f"{url}/teams"}
