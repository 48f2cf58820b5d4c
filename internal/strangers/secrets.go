package strangers

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// Secrets tells which version of a secret is its current one.
type Secrets interface {
	DescribeSecret(context.Context, *secretsmanager.DescribeSecretInput, ...func(*secretsmanager.Options)) (*secretsmanager.DescribeSecretOutput, error)
}

// Moved says of each secret whose current version is not the pinned one that this is so. A pin is the secret's ARN, a space,
// and the version that tasks are given.
func Moved(ctx context.Context, client Secrets, pins []string) ([]string, error) {
	var moved []string
	for _, pin := range pins {
		arn, version, _ := strings.Cut(pin, " ")
		out, err := client.DescribeSecret(ctx, &secretsmanager.DescribeSecretInput{SecretId: &arn})
		if err != nil {
			return nil, fmt.Errorf("describe secret %s: %w", arn, err)
		}
		if !slices.Contains(out.VersionIdsToStages[version], "AWSCURRENT") {
			moved = append(moved, fmt.Sprintf("secret %s: its current value is not the one that tasks are given (version %s), which stays: another value written by hand changes nothing",
				aws.ToString(out.Name), version))
		}
	}
	return moved, nil
}
