package infra

import (
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/route53"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/config"
)

// DNSArgs are the inputs of DNS.
type DNSArgs struct {
	Settings config.CDN
	CDN      *CDN
}

// DNS points the site's name at the distribution, where a zone is configured.
type DNS struct {
	pulumi.ResourceState

	records []pulumi.CustomResource
}

// Ready is the records, none without a zone.
func (d *DNS) Ready() []pulumi.CustomResource { return d.records }

// NewDNS declares the alias records; without a zone it declares none.
func NewDNS(ctx *pulumi.Context, name string, args *DNSArgs, opts ...pulumi.ResourceOption) (*DNS, error) {
	d := &DNS{}
	if err := ctx.RegisterComponentResource("plan-charge:infra:DNS", name, d, opts...); err != nil {
		return nil, err
	}
	if args.Settings.ZoneID != "" {
		for _, kind := range []string{"A", "AAAA"} {
			record, err := route53.NewRecord(ctx, name+"-"+kind, &route53.RecordArgs{
				ZoneId: pulumi.String(args.Settings.ZoneID),
				Name:   pulumi.String(args.Settings.Alias),
				Type:   pulumi.String(kind),
				Aliases: route53.RecordAliasArray{
					&route53.RecordAliasArgs{
						Name:                 args.CDN.Domain,
						ZoneId:               args.CDN.ZoneID,
						EvaluateTargetHealth: pulumi.Bool(false),
					},
				},
			}, pulumi.Parent(d))
			if err != nil {
				return nil, err
			}
			d.records = append(d.records, record)
		}
	}
	return d, ctx.RegisterResourceOutputs(d, pulumi.Map{})
}
