package review

import (
	"encoding/json"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
)

// Account is where and as whom the stack's AWS provider looks, and which database instances it looks at.
type Account struct {
	Region, Profile, Role string // what is empty, the environment says
	Instances             []Instance
}

// Instance is a database instance of the stack.
type Instance struct {
	Name, URN, Identifier string

	declared map[string]any
}

func (b *builder) account(m apitype.StepEventMetadata) {
	a := &b.plan.Account
	switch {
	case m.New == nil && m.Old == nil:
	case m.Type == "pulumi:providers:aws":
		inputs := inputsOf(m.New)
		a.Region, a.Profile = text(inputs["region"]), text(inputs["profile"])
		// A provider's nested inputs are JSON in a text.
		var assumed struct{ RoleArn string }
		if json.Unmarshal([]byte(text(inputs["assumeRole"])), &assumed) == nil {
			a.Role = assumed.RoleArn
		}
	case m.Type == "aws:rds/instance:Instance" && m.Op == apitype.OpRefresh:
		if identifier := text(inputsOf(m.Old)["identifier"]); identifier != "" {
			a.Instances = append(a.Instances, Instance{nameOf(m.URN), m.URN, identifier, m.Old.Inputs})
		}
	}
}
