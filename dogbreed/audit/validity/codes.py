"""The finding codes of Access Analyzer's ValidatePolicy as rules, with what each means and how to mend it.

Source: AWS, "IAM policy validation check reference" (IAM User Guide), and the answers that the service gives for the
policies of AWS's own. A rule is called AA-<code>. Codes that need data AWS does not publish are left to the real thing
(`--access-analyzer`), whose findings get a rule of the same kind; see docs/audit.md for the list.
"""

from __future__ import annotations

from dogbreed.audit.finding import Category, Rule, Severity

PREFIX = "AA-"

_REFUSED = "AWS refuses a policy with this, so that nothing in it takes effect."
_ERROR = "This part of the policy does nothing: what it should allow is not allowed, what it should deny is not denied."
_SECURITY = "The statement covers more than it seems to."
_WARNING = "It works, but probably not as it was meant."
_SUGGESTION = "It changes nothing about who may do what; without it the policy is easier to read."

# code: (title, fix)
_Rows = dict[str, tuple[str, str]]

REFUSED: _Rows = {
    "DATA_TYPE_MISMATCH": ("A value has the wrong JSON type", "write the type that the element needs"),
    "EMPTY_VARIABLE": ("A policy variable has no name", "name the variable, or remove ${}"),
    "FEDERATED_PRINCIPAL_NOT_SUPPORTED": (
        "Only trust policies may name federated principals",
        "name a role that the federated users assume",
    ),
    "INVALID_CONDITION_KEY_FORMAT": ("A condition key is not written service:key", "write service:key"),
    "INVALID_CONDITION_OPERATOR": ("A condition operator does not exist", "use an operator that exists"),
    "INVALID_EFFECT": ("Effect is neither Allow nor Deny", "write Allow or Deny"),
    "INVALID_FEDERATED_PRINCIPAL_SYNTAX_IN_ROLE_TRUST_POLICY": (
        "A federated principal is neither a provider's ARN nor a known domain",
        "name the ARN of the SAML or OIDC provider",
    ),
    "INVALID_POLICY_ELEMENT": ("An element does not exist", "remove it, or spell it right"),
    "INVALID_PRINCIPAL_FORMAT": ("Principal is not written as {type: value}", 'write {"AWS": "arn:..."} or "*"'),
    "INVALID_PRINCIPAL_KEY": ("A type of principal does not exist", "use AWS, Service, Federated or CanonicalUser"),
    "INVALID_VERSION": ("The Version does not exist", "write 2012-10-17"),
    "MISSING_ACTION": ("A statement has no Action", "add Action or NotAction"),
    "MISSING_ARN_FIELD": ("An ARN has fewer than six parts", "write arn:partition:service:region:account:resource"),
    "MISSING_BRACE_IN_VARIABLE": ("A policy variable is not closed", "add the closing brace"),
    "MISSING_EFFECT": ("A statement has no Effect", "add Allow or Deny"),
    "MISSING_PRINCIPAL": ("A statement names no principal", "add a Principal"),
    "MISSING_QUOTE_IN_VARIABLE": ("A variable's default value lacks a quote", "put the default into single quotes"),
    "MISSING_RESOURCE": ("A statement has no Resource", "add Resource or NotResource"),
    "MISSING_STATEMENT": ("The policy has no statement", "add a statement"),
    "NULL_WITH_IF_EXISTS": ("Null cannot have IfExists", "use Null alone"),
    "POLICY_SIZE_EXCEEDS_RCP_QUOTA": ("A resource control policy is too long", "split it"),
    "POLICY_SIZE_EXCEEDS_SCP_QUOTA": ("A service control policy is too long", "split it"),
    "RCP_SYNTAX_ERROR_ACTION": ("A resource control policy may not name this action", "name actions of one service"),
    "RCP_SYNTAX_ERROR_ALLOW": ("A resource control policy may only deny", "write Deny"),
    "RCP_SYNTAX_ERROR_NOTACTION": ("A resource control policy may not use NotAction", "use Action"),
    "RCP_SYNTAX_ERROR_PRINCIPAL": ("A resource control policy names principals", 'write "Principal": "*"'),
    "ROLE_TRUST_POLICY_SYNTAX_ERROR_NOTPRINCIPAL": (
        "A trust policy allows with NotPrincipal",
        "name who may assume the role in Principal",
    ),
    "ROLE_TRUST_POLICY_SYNTAX_ERROR_RESOURCE": ("A trust policy names resources", "remove Resource: it is the role"),
    "ROLE_TRUST_POLICY_UNSUPPORTED_WILDCARD_IN_PRINCIPAL": (
        "A trust policy has a wildcard inside a principal",
        "name the principal, or use a condition on aws:PrincipalArn",
    ),
    "SCP_SYNTAX_ERROR_PRINCIPAL": ("A service control policy names principals", "use a condition on aws:PrincipalArn"),
    "UNIQUE_SIDS_REQUIRED": ("Two statements have the same Sid", "give each its own"),
    "UNSUPPORTED_ELEMENT_COMBINATION": ("An element stands beside its Not-form", "keep one of the two"),
    "UNSUPPORTED_PRINCIPAL": ("An identity policy names a principal", "remove it: the identity is the principal"),
    "UNSUPPORTED_SID": ("A Sid has other characters than letters and digits", "use letters and digits"),
    "UNSUPPORTED_SPACE_IN_VARIABLE": ("A policy variable has a space in its name", "remove the space"),
    "UNSUPPORTED_SYMBOL_IN_VARIABLE": ("A policy variable has a symbol in its name", "remove the symbol"),
    "UNSUPPORTED_WILDCARD_IN_PRINCIPAL": ("A principal has a wildcard inside", "name the principal"),
}
# Refused by no one and worse than an error: the statement says something else than it does.
MISLEADING: _Rows = {
    "PRIVATE_NOT_IP_ADDRESS": (
        "A condition excludes only private addresses from aws:SourceIp, so that it is always true",
        "name public addresses, or use aws:VpcSourceIp",
    ),
    "VARIABLE_UNSUPPORTED_IN_VERSION": (
        "Policy variables need Version 2012-10-17 and are plain text here",
        "write Version 2012-10-17",
    ),
}
ERRORS: _Rows = {
    "ARN_ACCOUNT_NOT_ALLOWED": ("An ARN of this type has no account", "leave the account empty"),
    "ARN_REGION_NOT_ALLOWED": ("An ARN of this type has no Region", "leave the Region empty"),
    "DUPLICATE_KEYS_WITH_DIFFERENT_CASE": ("A condition key stands twice under one operator", "keep one of them"),
    "INVALID_ACTION": ("An action does not exist", "write an action that exists"),
    "INVALID_ARN_ACCOUNT": ("The account of an ARN is not a number of 12 digits", "write the 12 digits"),
    "INVALID_ARN_PREFIX": ("A resource is no ARN", "write an ARN or *"),
    "INVALID_ARN_REGION": ("The Region of an ARN does not exist", "write a Region that exists"),
    "INVALID_ARN_RESOURCE": ("The service has no resources of this form", "write the form that the service documents"),
    "INVALID_ARN_SERVICE_CASE": ("The service of an ARN is not in small letters", "write it in small letters"),
    "INVALID_CONDITION_DATA_TYPE": ("The values of a condition have several JSON types", "write all as text"),
    "INVALID_CONDITION_MULTIPLE_BOOLEAN": ("A condition has several Boolean values", "keep one"),
    "INVALID_GLOBAL_CONDITION_KEY": ("A global condition key does not exist", "use a key that exists"),
    "INVALID_PARTITION": ("The partition of an ARN does not exist", "write aws, aws-cn or aws-us-gov"),
    "INVALID_REGION": ("A Region in a condition does not exist", "write a Region that exists"),
    "INVALID_SERVICE": ("A service does not exist", "write a service that exists"),
    "INVALID_SERVICE_CONDITION_KEY": ("The service has no such condition key", "use a key of the service"),
    "INVALID_SERVICE_IN_ACTION": ("The service of an action does not exist", "write a service that exists"),
    "INVALID_SERVICE_PRINCIPAL_FORMAT": (
        "A service principal is not written service.amazonaws.com",
        "write service.amazonaws.com",
    ),
    "INVALID_VARIABLE_FOR_OPERATOR": (
        "Policy variables work with String and Arn operators only",
        "use such an operator",
    ),
    "INVALID_VPC_FORMAT": ("A VPC's id is not written vpc-...", "write vpc- and 8 or 17 hexadecimal digits"),
    "INVALID_VPCE_FORMAT": ("A VPC endpoint's id is not written vpce-...", "write vpce- and hexadecimal digits"),
    "INVALID_KMS_KEY_VALUE": ("A condition compares with something that is no key's ARN", "write the key's ARN"),
    "MISMATCHED_ACTION_FOR_PRINCIPAL": (
        "A principal of this type cannot use this action to assume a role",
        "use sts:AssumeRoleWithSAML, sts:AssumeRoleWithWebIdentity or sts:AssumeRole",
    ),
    "MISSING_ACTION_FOR_CONDITION_KEY": ("A condition key works only beside another action", "allow that action too"),
    "MISSING_ACTION_FOR_ROLES_ANYWHERE_TRUST_POLICY": (
        "IAM Roles Anywhere needs three actions to assume a role",
        "allow sts:AssumeRole, sts:TagSession and sts:SetSourceIdentity",
    ),
    "MISSING_ARN_ACCOUNT": ("An ARN of this type needs an account", "write the account, or *"),
    "MISSING_ARN_REGION": ("An ARN of this type needs a Region", "write the Region, or *"),
    "MISSING_QUALIFIER": ("A key with many values needs ForAllValues or ForAnyValue", "write one of the two"),
    "MISSING_TAG_KEY_IN_CONDITION": ("A tag condition names no tag", "write the tag after a slash"),
    "PRIVATE_IP_ADDRESS": (
        "A condition on aws:SourceIp names only private addresses, and never matches",
        "name public addresses, or use aws:VpcSourceIp",
    ),
    "TYPE_MISMATCH_IP_RANGE": ("An address range is not valid", "write it as 203.0.113.0/24"),
    "UNSUPPORTED_ACTION_IN_POLICY": ("This resource's policy cannot hold this action", "name actions of its service"),
    "UNSUPPORTED_GLOBAL_CONDITION_KEY": ("A global condition key is not supported", "use its successor"),
    "UNSUPPORTED_RESOURCE_ARN_IN_POLICY": ("A resource's policy names another resource", "name the resource itself"),
    "VARIABLE_UNSUPPORTED_IN_ELEMENT": ("Policy variables work in Resource and Condition only", "write a plain value"),
}
SECURITY: _Rows = {
    "ALLOW_WITH_NOT_PRINCIPAL": ("Everyone but a few is allowed, the anonymous included", "name who is allowed"),
    "DENY_NOTACTION_WITH_UNSUPPORTED_TAG_CONDITION_KEY_FOR_SERVICE": (
        "A Deny of everything else by tag leaves out services that know no such tags",
        "list the actions in Action",
    ),
    "DENY_WITH_UNSUPPORTED_TAG_CONDITION_KEY_FOR_SERVICE": (
        "A Deny by tag never applies to services that know no such tags",
        "deny their actions in a statement of their own",
    ),
    "FORALLVALUES_WITH_SINGLE_VALUED_KEY": (
        "ForAllValues is true when the key is missing, and this key has one value",
        "remove ForAllValues:",
    ),
    "MISSING_CONDITION_KEY_FOR_OIDC_PRINCIPAL": (
        "Anyone with an account at this identity provider can assume the role",
        "add a condition on the provider's sub or aud",
    ),
    "MISSING_GITHUB_REPO_CONDITION_KEY": (
        "Any GitHub repository can assume the role",
        "add StringEquals token.actions.githubusercontent.com:sub repo:OWNER/NAME:ref:refs/heads/BRANCH",
    ),
    "MISSING_PAIRED_CONDITION_KEYS": (
        "A private address alone says little: every VPC has the same ones",
        "add aws:SourceVpc or aws:SourceVpce",
    ),
    "PASS_ROLE_WITH_NOT_ACTION_AND_NOT_RESOURCE": ("Nearly every role may be passed", "name roles in Resource"),
    "PASS_ROLE_WITH_NOT_RESOURCE": ("Every role but a few may be passed", "name roles in Resource"),
    "PASS_ROLE_WITH_STAR_IN_ACTION_AND_NOT_RESOURCE": ("Every role but a few may be passed", "name roles in Resource"),
    "PASS_ROLE_WITH_STAR_IN_ACTION_AND_RESOURCE": (
        "Every role may be passed to every service",
        "name roles in Resource, or add iam:PassedToService",
    ),
    "PASS_ROLE_WITH_STAR_IN_RESOURCE": (
        "Every role may be passed to every service",
        "name roles in Resource, or add iam:PassedToService",
    ),
    "PASS_ROLE_WITH_STAR_IN_RESOURCE_AND_NOT_ACTION": (
        "Every role may be passed to every service",
        "name roles in Resource, or add iam:PassedToService",
    ),
    "RESTRICT_ACCESS_TO_SERVICE_PRINCIPAL": (
        "A service may act here for any customer of AWS",
        "add aws:SourceArn, aws:SourceAccount or aws:SourceOrgID",
    ),
    "STRING_LIKE_OPERATOR_WITH_ARN_CONDITION_KEYS": (
        "A wildcard of StringLike runs across the parts of an ARN",
        "use ArnLike or ArnNotLike",
    ),
}
WARNINGS: _Rows = {
    "CREATE_SLR_WITH_NOT_ACTION_AND_NOT_RESOURCE": ("Many service-linked roles may be made", "name them in Resource"),
    "CREATE_SLR_WITH_NOT_RESOURCE": ("Many service-linked roles may be made", "name them in Resource"),
    "CREATE_SLR_WITH_STAR_IN_ACTION_AND_NOT_RESOURCE": (
        "Many service-linked roles may be made",
        "name them in Resource",
    ),
    "CREATE_SLR_WITH_STAR_IN_ACTION_AND_RESOURCE": ("Any service-linked role may be made", "name them in Resource"),
    "CREATE_SLR_WITH_STAR_IN_RESOURCE": ("Any service-linked role may be made", "name them, or add iam:AWSServiceName"),
    "CREATE_SLR_WITH_STAR_IN_RESOURCE_AND_NOT_ACTION": ("Any service-linked role may be made", "name them in Resource"),
    "INVALID_DATE_VALUE": ("A date is written as seconds since 1970", "write YYYY-MM-DD"),
    "INVALID_ROLE_REFERENCE": ("A principal is the id of a role, which may be deleted", "write the role's ARN"),
    "INVALID_USER_REFERENCE": ("A principal is the id of a user, who may be deleted", "write the user's ARN"),
    "MISSING_VERSION": ("The policy has no Version, and variables are plain text", "add Version 2012-10-17"),
    "POLICY_SIZE_EXCEEDS_IDENTITY_POLICY_QUOTA": ("An identity policy is too long", "split it"),
    "POLICY_SIZE_EXCEEDS_RESOURCE_POLICY_QUOTA": ("A resource policy is too long", "split it"),
    "POLICY_SIZE_EXCEEDS_ROLE_TRUST_POLICY_QUOTA": ("A trust policy is too long", "shorten it"),
    "SPECIFIC_GITHUB_REPO_AND_BRANCH_RECOMMENDED": (
        "A wildcard lets many GitHub repositories or branches assume the role",
        "name the repository and the branch",
    ),
    "TYPE_MISMATCH": ("An operator does not fit the type of the key", "use the operator of the key's type"),
    "TYPE_MISMATCH_BOOLEAN": ("A Bool condition compares with something else", "write true or false"),
    "TYPE_MISMATCH_DATE": ("A Date condition compares with something else", "write YYYY-MM-DDThh:mm:ssZ"),
    "TYPE_MISMATCH_NUMBER": ("A Numeric condition compares with something else", "write a number"),
    "TYPE_MISMATCH_STRING": ("A Binary condition compares with something else", "write base64"),
    "UNIQUE_SIDS_RECOMMENDED": ("Two statements have the same Sid", "give each its own"),
    "WILDCARD_WITHOUT_LIKE_OPERATOR": ("* and ? are plain characters for this operator", "use the Like operator"),
}
SUGGESTIONS: _Rows = {
    "ALLOW_NOTACTION_WITH_UNSUPPORTED_TAG_CONDITION_KEY_FOR_SERVICE": (
        "An Allow of everything else by tag leaves out services that know no such tags",
        "list the actions in Action",
    ),
    "ALLOW_WITH_UNSUPPORTED_TAG_CONDITION_KEY_FOR_SERVICE": (
        "An Allow by tag never applies to services that know no such tags",
        "allow their actions in a statement of their own",
    ),
    "EMPTY_ARRAY_ACTION": ("A statement has no actions", "name some, or remove the statement"),
    "EMPTY_ARRAY_CONDITION": ("A condition has no values", "name some, or remove the condition"),
    "EMPTY_ARRAY_CONDITION_FORALLVALUES": ("A condition is true only if the key is missing", "use Null"),
    "EMPTY_ARRAY_CONDITION_FORANYVALUE": ("A condition is never true", "name values"),
    "EMPTY_ARRAY_CONDITION_IFEXISTS": ("A condition is true only if the key is missing", "use Null"),
    "EMPTY_ARRAY_PRINCIPAL": ("A statement has no principals", "name some, or remove the statement"),
    "EMPTY_ARRAY_RESOURCE": ("A statement has no resources", "name some, or remove the statement"),
    "EMPTY_OBJECT_CONDITION": ("A condition is empty", "remove it"),
    "EMPTY_OBJECT_PRINCIPAL": ("A statement has no principals", "name some, or remove the statement"),
    "EMPTY_SID_VALUE": ("A Sid is empty", "write one, or remove it"),
    "EQUIVALENT_TO_NULL_FALSE": ("A pattern of * asks only whether the key is there", 'use "Null": {key: "false"}'),
    "EQUIVALENT_TO_NULL_TRUE": ("No value is unlike *: only a missing key matches", 'use "Null": {key: "true"}'),
    "IMPROVE_IP_RANGE": ("The address has bits that its mask ignores", "write the first address of the range"),
    "NULL_WITH_QUALIFIER": ("Null beside ForAllValues or ForAnyValue is always the same", "use Null alone"),
    "PRIVATE_IP_ADDRESS_SUBSET": ("Private addresses never match aws:SourceIp", "use aws:VpcSourceIp for them"),
    "PRIVATE_NOT_IP_ADDRESS_SUBSET": ("Private addresses never match aws:SourceIp", "use aws:VpcSourceIp for them"),
    "REDUNDANT_ACTION": ("An action is covered by another one", "remove it"),
    "REDUNDANT_CONDITION_VALUE_NUM": ("Of several numbers one decides", "keep the one that decides"),
    "REDUNDANT_RESOURCE": ("A resource is covered by another one", "remove it"),
    "REDUNDANT_STATEMENT": ("Two statements say the same", "remove one"),
    "WILDCARD_IN_SERVICE_NAME": ("A wildcard in a service's name covers future services too", "name the service"),
}

_GROUPS = (
    (REFUSED, Severity.HIGH, _REFUSED),
    (MISLEADING, Severity.HIGH, _ERROR),
    (ERRORS, Severity.MEDIUM, _ERROR),
    (SECURITY, Severity.MEDIUM, _SECURITY),
    (WARNINGS, Severity.LOW, _WARNING),
    (SUGGESTIONS, Severity.INFO, _SUGGESTION),
)
RULES: dict[str, Rule] = {
    code: Rule(PREFIX + code, Category.INVALID_POLICY, severity, title, why, fix, (f"Access Analyzer {code}",))
    for rows, severity, why in _GROUPS
    for code, (title, fix) in rows.items()
}
