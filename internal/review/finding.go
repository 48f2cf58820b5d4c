package review

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
)

// Kinds of findings, the worst first.
const (
	Loses      = "loses"
	Interrupts = "interrupts"
	Opens      = "opens"
	Costs      = "costs"
)

// Finding is what people notice of a step.
type Finding struct {
	Kind string `json:"kind"`
	URN  string `json:"urn"`
	Name string `json:"name"`
	Text string `json:"text"`
}

// holds says what is lost with a resource of a type.
var holds = map[string]string{
	"aws:rds/instance:Instance":                      "the database and all rows in it",
	"aws:rds/cluster:Cluster":                        "the database and all rows in it",
	"aws:s3/bucket:Bucket":                           "the files in it",
	"aws:s3/bucketV2:BucketV2":                       "the files in it",
	"aws:efs/fileSystem:FileSystem":                  "the files in it",
	"aws:ebs/volume:Volume":                          "the data on it",
	"aws:dynamodb/table:Table":                       "the items in it",
	"aws:ecr/repository:Repository":                  "the images in it",
	"aws:kms/key:Key":                                "all that is encrypted with it",
	"aws:secretsmanager/secret:Secret":               "the secret's value",
	"aws:secretsmanager/secretVersion:SecretVersion": "the secret's value",
	"aws:cloudwatch/logGroup:LogGroup":               "the logs in it",
	"aws:sns/topic:Topic":                            "its confirmed subscriptions",
	"postgresql:index/role:Role":                     "a role of the database",
	"postgresql:index/schema:Schema":                 "the tables in it",
	"postgresql:index/database:Database":             "the tables in it",
	"pgrows:index:Rows":                              "rows of a table, unless onRemove retains them",
	"random:index/randomPassword:RandomPassword":     "a password that is in use",
}

// restarts are the properties of a database instance whose change restarts it (AWS, "Settings for DB instances").
var restarts = []string{"instanceClass", "engineVersion", "storageType", "parameterGroupName", "caCertIdentifier", "port"}

// serves are the types whose replacement users notice.
var serves = map[string]string{
	"aws:cloudfront/distribution:Distribution": "the site's distribution",
	"aws:lb/loadBalancer:LoadBalancer":         "the load balancer",
	"aws:lb/listener:Listener":                 "the load balancer's listener",
	"aws:lb/targetGroup:TargetGroup":           "the target group: tasks are registered anew",
	"aws:ecs/service:Service":                  "the service: all its tasks stop",
	"aws:ecs/cluster:Cluster":                  "the cluster: all its tasks stop",
	"aws:ec2/vpc:Vpc":                          "the network",
	"aws:ec2/natGateway:NatGateway":            "the way out of the private network",
}

func (b *builder) findings(m apitype.StepEventMetadata, s *Step) {
	add := func(kind, text string) {
		f := Finding{Kind: kind, URN: m.URN, Name: s.Name, Text: text}
		if !slices.Contains(b.plan.Findings, f) {
			b.plan.Findings = append(b.plan.Findings, f)
		}
	}
	old, new := inputsOf(m.Old), inputsOf(m.New)
	loses(m, s, add)
	interrupts(m, s, old, new, add)
	opens(m, old, new, add)
	costs(m, s, old, new, add)
}

func loses(m apitype.StepEventMetadata, s *Step, add func(kind, text string)) {
	what, ok := holds[m.Type]
	if !ok || s.Op != Delete && s.Op != Replace {
		return
	}
	text := fmt.Sprintf("is %sd, and with it goes %s", s.Op, what)
	if s.Kept {
		text = fmt.Sprintf("leaves the stack and stays where it is: %s", what)
	}
	if len(s.Keys) > 0 {
		text += ", because of " + strings.Join(s.Keys, ", ")
	}
	add(Loses, text)
}

func interrupts(m apitype.StepEventMetadata, s *Step, old, new map[string]any, add func(kind, text string)) {
	if what, ok := serves[m.Type]; ok && (s.Op == Replace || s.Op == Delete) {
		text := fmt.Sprintf("is %sd: %s", s.Op, what)
		if len(s.Keys) > 0 {
			text += " (" + strings.Join(s.Keys, ", ") + ")"
		}
		add(Interrupts, text)
	}
	if m.Type != "aws:rds/instance:Instance" || s.Op != Update {
		return
	}
	var changed []string
	for _, c := range s.Changes {
		property, _, _ := strings.Cut(c.Path, ".")
		if slices.Contains(restarts, property) {
			changed = append(changed, fmt.Sprintf("%s %s → %s", property, c.Old, c.New))
		}
	}
	if len(changed) == 0 {
		return
	}
	when := "in the maintenance window"
	if window := text(m.Old.Outputs["maintenanceWindow"]); window != "" {
		when += " (" + window + ", UTC)"
	}
	if new["applyImmediately"] == true {
		when = "immediately, during the deployment"
	}
	add(Interrupts, fmt.Sprintf("the database restarts in place, %s: %s", when, strings.Join(changed, "; ")))
}

func opens(m apitype.StepEventMetadata, old, new map[string]any, add func(kind, text string)) {
	switch {
	case new == nil:
	case strings.HasPrefix(m.Type, "aws:ec2/securityGroup") || strings.HasPrefix(m.Type, "aws:vpc/securityGroup"):
		if new["type"] != "egress" && !strings.Contains(m.Type, "Egress") && toWorld(new) && !toWorld(old) {
			add(Opens, fmt.Sprintf("lets in everybody (0.0.0.0/0 or ::/0)%s", ports(new)))
		}
	case m.Type == "aws:rds/instance:Instance":
		if new["publiclyAccessible"] == true && old["publiclyAccessible"] != true {
			add(Opens, "the database gets a public address")
		}
	case strings.HasPrefix(m.Type, "aws:iam/"):
		if allowsAll(new["policy"]) && !allowsAll(old["policy"]) {
			add(Opens, "allows every action (\"Action\": \"*\")")
		}
	}
}

// toWorld says whether a rule names every address, but for what a group lets out.
func toWorld(inputs map[string]any) bool {
	found := false
	for _, key := range keysOf(inputs, nil) {
		if key != "egress" {
			eachText(inputs[key], func(text string) { found = found || text == "0.0.0.0/0" || text == "::/0" })
		}
	}
	return found
}

func ports(inputs map[string]any) string {
	from, ok := inputs["fromPort"].(float64)
	if !ok {
		return ""
	}
	return fmt.Sprintf(" on ports %v to %v", from, inputs["toPort"])
}

// allowsAll says whether a policy allows every action.
func allowsAll(policy any) bool {
	text, _ := policy.(string)
	var doc struct{ Statement any }
	if json.Unmarshal([]byte(text), &doc) != nil {
		return false
	}
	statements, ok := doc.Statement.([]any)
	if !ok {
		statements = []any{doc.Statement}
	}
	for _, s := range statements {
		statement, _ := s.(map[string]any)
		all := statement["Action"] == "*" || contains(statement["Action"], "*")
		if statement["Effect"] == "Allow" && all {
			return true
		}
	}
	return false
}

func contains(list any, text string) bool {
	items, _ := list.([]any)
	return slices.Contains(items, any(text))
}

// sizes are the units that the sizes of an instance class are paid by: within a family a price grows with them
// (AWS, "Size-flexible reserved DB instances").
var sizes = map[string]float64{
	"micro": 0.5, "small": 1, "medium": 2, "large": 4, "xlarge": 8, "2xlarge": 16, "4xlarge": 32, "8xlarge": 64,
	"12xlarge": 96, "16xlarge": 128, "24xlarge": 192,
}

// noticed is the part by which what is paid for must change to be named.
const noticed = 0.1

func costs(m apitype.StepEventMetadata, s *Step, old, new map[string]any, add func(kind, text string)) {
	switch m.Type {
	case "aws:ec2/natGateway:NatGateway":
		if s.Op == Create || s.Op == Delete {
			add(Costs, fmt.Sprintf("a NAT gateway, paid by the hour and by traffic, is %sd", s.Op))
		}
	case "aws:rds/instance:Instance":
		if old == nil || new == nil {
			return
		}
		classes(old["instanceClass"], new["instanceClass"], add)
		times("storage, GiB", number(old["allocatedStorage"]), number(new["allocatedStorage"]), add)
		times("instances paid for (multiAz)", doubled(old["multiAz"]), doubled(new["multiAz"]), add)
	case "aws:ecs/taskDefinition:TaskDefinition":
		times("cpu units a task", number(old["cpu"]), number(new["cpu"]), add)
		times("MiB of memory a task", number(old["memory"]), number(new["memory"]), add)
	case "aws:appautoscaling/target:Target":
		times("tasks at least", number(old["minCapacity"]), number(new["minCapacity"]), add)
	}
}

func classes(old, new any, add func(kind, text string)) {
	was, ok1 := old.(string)
	will, ok2 := new.(string)
	if !ok1 || !ok2 || was == will {
		return
	}
	oldFamily, oldSize := family(was)
	newFamily, newSize := family(will)
	if oldFamily == newFamily && sizes[oldSize] > 0 && sizes[newSize] > 0 {
		add(Costs, fmt.Sprintf("instance class %s → %s: %s times the price", was, will, short(sizes[newSize]/sizes[oldSize])))
		return
	}
	add(Costs, fmt.Sprintf("instance class %s → %s: another family, see its price", was, will))
}

func family(class string) (string, string) {
	i := strings.LastIndex(class, ".")
	return class[:max(i, 0)], class[i+1:]
}

func times(what string, old, new float64, add func(kind, text string)) {
	if old <= 0 || new <= 0 {
		return
	}
	if by := new / old; by > 1+noticed || by < 1-noticed {
		add(Costs, fmt.Sprintf("%s: %s → %s (%s times)", what, short(old), short(new), short(by)))
	}
}

func doubled(v any) float64 {
	if v == true {
		return 2
	}
	return 1
}

func number(v any) float64 {
	switch v := v.(type) {
	case float64:
		return v
	case string:
		f, _ := strconv.ParseFloat(v, 64)
		return f
	}
	return 0
}

func short(f float64) string { return strconv.FormatFloat(f, 'g', 3, 64) }

func inputsOf(s *apitype.StepEventStateMetadata) map[string]any {
	if s == nil {
		return nil
	}
	return s.Inputs
}
