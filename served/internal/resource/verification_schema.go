package resource

import "github.com/pulumi/pulumi-go-provider/infer"

var (
	_ infer.Annotated = (*Verification)(nil)
	_ infer.Annotated = (*VerificationArgs)(nil)
	_ infer.Annotated = (*VerificationState)(nil)
)

// Verification is whether what was deployed is what is served.
type Verification struct{ account *account }

// VerificationArgs say what has to be served.
type VerificationArgs struct {
	SiteURL             string `pulumi:"siteUrl"`
	Cluster             string `pulumi:"cluster"`
	Service             string `pulumi:"service"`
	TaskDefinition      string `pulumi:"taskDefinition"`
	DistributionID      string `pulumi:"distributionId"`
	DistributionVersion string `pulumi:"distributionVersion"`
	Checks              string `pulumi:"checks"`
	// AppVersion is not called version, because a key of that name is the provider framework's own.
	AppVersion *string `pulumi:"appVersion,optional"`
	Timeout    string  `pulumi:"timeout"`
	TimeoutKey string  `pulumi:"timeoutKey"`
	Region     *string `pulumi:"region,optional"`
	Profile    *string `pulumi:"profile,optional"`
	Role       *string `pulumi:"role,optional"`
}

// VerificationState is what was verified, and what came when it was looked at last.
type VerificationState struct {
	VerificationArgs
	Results  map[string]string `pulumi:"results"`
	Verified map[string]string `pulumi:"verified"`
	Summary  string            `pulumi:"summary"`
}

// Annotate describes the resource in the schema.
func (v *Verification) Annotate(a infer.Annotator) {
	a.SetToken("index", "Verification")
	a.Describe(&v, "Asks through the CDN whether what was deployed is what is served, and fails the update if not. "+
		"A refresh asks again, as far as asking changes nothing, and shows what is not as it was verified; the next update then verifies all of it.")
}

// Annotate describes the inputs in the schema.
func (v *VerificationArgs) Annotate(a infer.Annotator) {
	a.Describe(&v.SiteURL, "Address of the site as its users reach it. For example `\"https://site.example\"`.")
	a.Describe(&v.Cluster, "Name of the ECS cluster. For example `\"plan-charge-prod-cluster\"`.")
	a.Describe(&v.Service, "Name of the ECS service. For example `\"plan-charge-prod-backend\"`.")
	a.Describe(&v.TaskDefinition, "ARN of the task definition that the service has to run. For example `\"arn:aws:ecs:eu-west-3:123456789012:task-definition/backend:7\"`.")
	a.Describe(&v.DistributionID, "Id of the CloudFront distribution, which must cache no errors. For example `\"E2QWRUHAPOMQZL\"`.")
	a.Describe(&v.DistributionVersion, "Text that changes whenever the distribution's configuration does, as its ETag. For example `\"ETVPDKIKX0DER\"`.")
	a.Describe(&v.Checks, "Requests and what their answers must be, a list as JSON. For example `\"[{\\\"path\\\":\\\"/health\\\",\\\"status\\\":200}]\"`.")
	a.Describe(&v.AppVersion, "Version that was deployed, which stands where the checks say `{version}`. For example `\"1.4.2\"`.")
	a.Describe(&v.Timeout, "Time for the whole verification, a duration. For example `\"5m\"`.")
	a.Describe(&v.TimeoutKey, "Configuration key that sets the timeout, for whoever has to raise it. For example `\"verification.timeout\"`.")
	a.Describe(&v.Region, "AWS region; what the environment says unless given. For example `\"eu-west-3\"`.")
	a.Describe(&v.Profile, "AWS profile; what the environment says unless given. For example `\"team\"`.")
	a.Describe(&v.Role, "ARN of a role to assume. For example `\"arn:aws:iam::123456789012:role/deployer\"`.")
}

// Annotate describes the outputs in the schema.
func (v *VerificationState) Annotate(a infer.Annotator) {
	a.Describe(&v.Results, "What came when it was looked at last, by the check's title; what ECS runs is `service`. For example `{\"login, structured\": \"500\"}`.")
	a.Describe(&v.Verified, "What came when all was as it has to be. For example `{\"login, structured\": \"400\"}`.")
	a.Describe(&v.Summary, "What was verified and when, in one line. For example `\"https://site.example: 5 checks passed at 2026-11-24T21:00:00Z\"`.")
}
