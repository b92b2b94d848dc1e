"""Rights in the object store as AWS IAM policies, which SeaweedFS reads as well."""

from typing import Any

from shared.access.names import Names
from shared.access.rights import ObjectAction, Rights

ACTIONS = {
    ObjectAction.READ: ("s3:GetObject",),
    # PutObject covers the parts of an upload, but not its end without a result.
    ObjectAction.WRITE: ("s3:PutObject", "s3:AbortMultipartUpload"),
    ObjectAction.DELETE: ("s3:DeleteObject",),
    ObjectAction.TAG: ("s3:PutObjectTagging",),
    ObjectAction.DELETE_VERSIONS: ("s3:DeleteObjectVersion",),
}


def policy(rights: Rights, names: Names) -> dict[str, Any] | None:
    """The policy document; None for a service that uses no objects."""
    if rights.everything:
        arns = [arn for name in names.all_buckets for arn in (_arn(name), _arn(name, "*"))]
        statements = [_statement(("s3:*",), arns)]
        return _document([*statements, _statement(("s3:ListAllMyBuckets",), ["*"])])
    # Patterns with the same actions share a statement: a managed policy may have 6144 characters.
    patterns: dict[tuple[str, ...], list[str]] = {}
    for one in rights.objects:
        actions = tuple(name for action in one.actions for name in ACTIONS[action])
        found = [_arn(bucket, one.keys) for bucket in names.buckets(one.bucket)]
        patterns.setdefault(actions, []).extend(found)
    statements = [_statement(actions, found) for actions, found in patterns.items() if found]
    lists = [_arn(bucket) for role in rights.lists for bucket in names.buckets(role)]
    if lists:
        statements.append(_statement(("s3:ListBucket",), lists))
    versioned = [_arn(bucket) for role in rights.lists_versions for bucket in names.buckets(role)]
    if versioned:
        statements.append(_statement(("s3:GetBucketVersioning", "s3:ListBucketVersions"), versioned))
    return _document(statements) if statements else None


def policies(all_rights: dict[str, Rights], names: Names) -> dict[str, dict[str, Any]]:
    """The policy of each service that uses objects, by the service's name."""
    return {name: found for name, one in all_rights.items() if (found := policy(one, names)) is not None}


def _document(statements: list[dict[str, Any]]) -> dict[str, Any]:
    return {"Version": "2012-10-17", "Statement": statements}


def _statement(actions: tuple[str, ...], resources: list[str]) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": list(actions), "Resource": resources}


def _arn(bucket: str, keys: str = "") -> str:
    return f"arn:aws:s3:::{bucket}" + (f"/{keys}" if keys else "")
