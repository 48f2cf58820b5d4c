package verify

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"plan-charge/internal/probe"
	"plan-charge/internal/wait"
)

// Aftermath is what there is to look at when a deployment has failed.
type Aftermath struct {
	Failed  string // what did, such as "the migration"
	Next    string // what to type
	Cluster string
	Service string
	// Site is the site's URL, or the comment of the distribution that serves it, whose URL is not known before it is made.
	Site       string
	HealthPath string
	ConnectTo  string // as in Settings
}

// lastWordsTake is how long somebody waits for the last words after a failure, at most.
const lastWordsTake = 5 * time.Second

// WithLastWords adds to the error of a failed deployment what people ask next: which version serves, whether the site
// answers, and what to type. It takes five seconds at most; what it cannot see it says. Without an error it does nothing.
func (a Aftermath) WithLastWords(ctx context.Context, c Clients, err error) error {
	if err == nil {
		return nil
	}
	return &lastWords{err, a.look(ctx, c, lastWordsTake)}
}

type lastWords struct {
	err  error
	text string
}

func (l *lastWords) Error() string { return strings.TrimRight(l.err.Error(), "\n") + "\n\n" + l.text }
func (l *lastWords) Unwrap() error { return l.err }

func (a Aftermath) look(ctx context.Context, c Clients, limit time.Duration) string {
	// A deployment that was cancelled is spoken of as well.
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), limit, errors.New("nothing in time"))
	defer cancel()
	v := &verification{Settings: Settings{Cluster: a.Cluster, Service: a.Service, ConnectTo: a.ConnectTo}, Clients: c}
	serves, site := make(chan string, 1), make(chan string, 1)
	go func() { serves <- v.whatServes(ctx) }()
	go func() { site <- v.whetherItAnswers(ctx, a) }()
	return fmt.Sprintf("  failed   %s\n  serves   %s\n  site     %s\n  next     %s", a.Failed, <-serves, <-site, a.Next)
}

// whatServes names the version of the service that is deployed.
func (v *verification) whatServes(ctx context.Context) string {
	if v.ECS == nil {
		return "not seen: AWS is not reached"
	}
	service, err := v.service(ctx)
	var none errNoService
	switch {
	case errors.As(err, &none):
		return "nothing yet, there is no service " + v.Service
	case err != nil:
		return "not seen: " + Plain(wait.Cause(ctx, err))
	}
	primary := primaryOf(service)
	if primary == nil {
		return "nothing, service " + v.Service + " has no deployment"
	}
	running := aws.ToString(primary.TaskDefinition)
	text := Short(running)
	if out, err := v.ECS.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &running}); err == nil && out.TaskDefinition != nil && len(out.TaskDefinition.ContainerDefinitions) > 0 {
		text += ", image " + aws.ToString(out.TaskDefinition.ContainerDefinitions[0].Image)
	}
	return text + fmt.Sprintf(": %d of %d tasks run", primary.RunningCount, primary.DesiredCount)
}

// whetherItAnswers asks the site for its health, as a user would.
func (v *verification) whetherItAnswers(ctx context.Context, a Aftermath) string {
	var err error
	if v.SiteURL, err = v.siteURL(ctx, a.Site); err != nil {
		return "not asked: " + Plain(wait.Cause(ctx, err))
	}
	client, base := v.client()
	answer := send(ctx, client, base, v.SiteURL, probe.Check{Method: http.MethodGet, Path: a.HealthPath}, a.HealthPath)
	if answer.err != nil {
		return fmt.Sprintf("%s does not answer GET %s: %s", v.SiteURL, a.HealthPath, Plain(answer.err))
	}
	return fmt.Sprintf("%s answers GET %s with %d", v.SiteURL, a.HealthPath, answer.status)
}

// siteURL is the URL of a site, which may be called by its distribution's comment.
func (v *verification) siteURL(ctx context.Context, site string) (string, error) {
	if strings.HasPrefix(site, "https://") || strings.HasPrefix(site, "http://") {
		return site, nil
	}
	if v.CloudFront == nil {
		return "", errors.New("AWS is not reached")
	}
	for in := new(cloudfront.ListDistributionsInput); ; {
		out, err := v.CloudFront.ListDistributions(ctx, in)
		if err != nil {
			return "", err
		}
		if out.DistributionList == nil {
			break
		}
		for _, d := range out.DistributionList.Items {
			if aws.ToString(d.Comment) == site {
				return "https://" + aws.ToString(d.DomainName), nil
			}
		}
		if in.Marker = out.DistributionList.NextMarker; aws.ToString(in.Marker) == "" {
			break
		}
	}
	return "", fmt.Errorf("there is no distribution %s", site)
}
