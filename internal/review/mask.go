package review

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"

	"plan-charge/internal/redact"
)

const (
	secretValue  = "[secret]"
	hiddenValue  = "[not shown]"
	unknownValue = "[known after deployment]"
)

// printable are the types whose values may be printed, by the beginning of their name. The log blinds what is marked
// secret and nothing else, so a type that is not known to hold only what may be read shows the names of its properties.
var printable = []string{
	"aws:appautoscaling/", "aws:cloudfront/", "aws:cloudwatch/", "aws:ec2/", "aws:ecs/", "aws:iam/", "aws:lb/",
	"aws:rds/", "aws:route53/", "aws:sns/", "pgrows:index:", "served:index:", "postgresql:index/grant:",
	"postgresql:index/defaultPrivileges:",
}

// printableOf are the only properties of a type that may be printed.
var printableOf = map[string][]string{
	"command:local:Command": {"triggers", "create", "update", "delete"},
	// A header that a distribution sends to its origin is a password, and so is any environment.
	"postgresql:index/role:Role": {"login", "createDatabase", "createRole", "superuser", "inherit", "name", "connectionLimit"},
}

// sensitive are names of properties that hold what nobody should read, whatever their type says.
var sensitive = regexp.MustCompile(`(?i:password|passwd|secret|credential|private_?key|api_?key|access_?key|customheaders|connection_?string|database_?url)|[a-z_](?i:token)|TOKEN`)

// mayPrint says whether the value of a property may be printed.
func mayPrint(typ, path string) bool {
	if sensitive.MatchString(path) {
		return false
	}
	if only, ok := printableOf[typ]; ok {
		for _, property := range only {
			if rest, ok := strings.CutPrefix(path, property); ok && (rest == "" || rest[0] == '.' || rest[0] == '[') {
				return true
			}
		}
		return false
	}
	for _, prefix := range printable {
		if strings.HasPrefix(typ, prefix) {
			return true
		}
	}
	return false
}

// isSecret says whether a value, or one inside it, is blinded.
func isSecret(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		if v[resource.SigKey] == resource.SecretSig {
			return true
		}
		for _, inner := range v {
			if isSecret(inner) {
				return true
			}
		}
	case []any:
		for _, inner := range v {
			if isSecret(inner) {
				return true
			}
		}
	case string:
		return v == secretValue
	}
	return false
}

// pair words both sides of a change. A secret on one side hides the other too: a value that is marked secret from now
// on would otherwise be printed one last time.
func pair(typ, path string, old, new any) (string, string) {
	switch {
	case isSecret(old) || isSecret(new):
		return secretValue, secretValue
	case !mayPrint(typ, path):
		return hiddenValue, hiddenValue
	}
	return word(old), word(new)
}

var known redact.Redactor

// word prints a value in one line. Empty is a value that is not there.
func word(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		if v == plugin.UnknownStringValue {
			return unknownValue
		}
		if quoted := strconv.Quote(v); v == "" || len(quoted) != len(v)+2 {
			return known.String(quoted)
		}
		return known.String(v)
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return known.String(strings.ReplaceAll(string(text), `"`+plugin.UnknownStringValue+`"`, unknownValue))
}
