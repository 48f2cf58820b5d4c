package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"math/big"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"golang.org/x/crypto/bcrypt"
)

// The characters that a password is made of.
const (
	lowerChars   = "abcdefghijklmnopqrstuvwxyz"
	upperChars   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	numericChars = "0123456789"
	specialChars = "!@#$%&*()-_=+[]{}<>:?"
)

// bcryptLimit is how many bytes of a password bcrypt looks at.
const bcryptLimit = 72

var (
	_ infer.CustomResource[PasswordArgs, PasswordState]       = (*RandomPassword)(nil)
	_ infer.CustomCheck[PasswordArgs]                         = (*RandomPassword)(nil)
	_ infer.ExplicitDependencies[PasswordArgs, PasswordState] = (*RandomPassword)(nil)
)

// RandomPassword has no update: like the official one it is replaced when any input changes.
type RandomPassword struct{}

// PasswordArgs are the inputs. Each class of characters is allowed unless switched off.
type PasswordArgs struct {
	Keepers         *map[string]string `pulumi:"keepers,optional"`
	Length          int                `pulumi:"length"`
	Lower           *bool              `pulumi:"lower,optional"`
	MinLower        *int               `pulumi:"minLower,optional"`
	MinNumeric      *int               `pulumi:"minNumeric,optional"`
	MinSpecial      *int               `pulumi:"minSpecial,optional"`
	MinUpper        *int               `pulumi:"minUpper,optional"`
	Number          *bool              `pulumi:"number,optional"`
	Numeric         *bool              `pulumi:"numeric,optional"`
	OverrideSpecial *string            `pulumi:"overrideSpecial,optional"`
	Special         *bool              `pulumi:"special,optional"`
	Upper           *bool              `pulumi:"upper,optional"`
}

// PasswordState adds the password and its hash, both always secret.
type PasswordState struct {
	PasswordArgs
	Result     string `pulumi:"result"`
	BcryptHash string `pulumi:"bcryptHash"`
}

// Annotate gives the resource its official name.
func (r *RandomPassword) Annotate(a infer.Annotator) {
	a.Describe(&r, "A random password that stays what it is until an input changes.")
	a.SetToken("index/randomPassword", "RandomPassword")
}

// WireDependencies makes the password secret whatever it is made from. The inputs that it keeps stay as they are given.
func (*RandomPassword) WireDependencies(f infer.FieldSelector, args *PasswordArgs, state *PasswordState) {
	for _, same := range [][2]any{
		{&args.Keepers, &state.Keepers},
		{&args.Length, &state.Length},
		{&args.Lower, &state.Lower},
		{&args.MinLower, &state.MinLower},
		{&args.MinNumeric, &state.MinNumeric},
		{&args.MinSpecial, &state.MinSpecial},
		{&args.MinUpper, &state.MinUpper},
		{&args.Number, &state.Number},
		{&args.Numeric, &state.Numeric},
		{&args.OverrideSpecial, &state.OverrideSpecial},
		{&args.Special, &state.Special},
		{&args.Upper, &state.Upper},
	} {
		f.OutputField(same[1]).DependsOn(f.InputField(same[0]))
	}
	for _, made := range []any{&state.Result, &state.BcryptHash} {
		f.OutputField(made).AlwaysSecret()
		f.OutputField(made).DependsOn(f.InputField(&args.Length), f.InputField(&args.Keepers))
	}
}

// class is one kind of character and how many of them there must be.
type class struct {
	property string
	chars    string
	allowed  bool
	min      int
}

func (a PasswordArgs) classes() []class {
	numeric := a.Numeric
	if numeric == nil {
		numeric = a.Number // the older name
	}
	special := specialChars
	if a.OverrideSpecial != nil && *a.OverrideSpecial != "" {
		special = *a.OverrideSpecial
	}
	return []class{
		{"minLower", lowerChars, isOn(a.Lower), number(a.MinLower)},
		{"minUpper", upperChars, isOn(a.Upper), number(a.MinUpper)},
		{"minNumeric", numericChars, isOn(numeric), number(a.MinNumeric)},
		{"minSpecial", special, isOn(a.Special), number(a.MinSpecial)},
	}
}

// Check refuses lengths that cannot be met and passwords with nothing to be made of.
func (*RandomPassword) Check(ctx context.Context, req infer.CheckRequest) (infer.CheckResponse[PasswordArgs], error) {
	args, failures, err := infer.DefaultCheck[PasswordArgs](ctx, req.NewInputs)
	if err != nil || len(failures) > 0 || hasUnknown(req.NewInputs) {
		return infer.CheckResponse[PasswordArgs]{Inputs: args, Failures: failures}, err
	}
	fail := func(property, format string, a ...any) {
		failures = append(failures, p.CheckFailure{Property: property, Reason: fmt.Sprintf(format, a...)})
	}
	atLeast, any := 0, false
	for _, c := range args.classes() {
		if c.min < 0 {
			fail(c.property, "is %d; must be 0 or more", c.min)
		}
		atLeast += c.min
		any = any || c.allowed || c.min > 0
	}
	switch {
	case args.Length < 1:
		fail("length", "is %d; must be 1 or more", args.Length)
	case args.Length < atLeast:
		fail("length", "is %d; must be at least minLower + minUpper + minNumeric + minSpecial = %d", args.Length, atLeast)
	case !any:
		fail("length", "no characters to choose from: set at least one of lower, upper, numeric and special")
	}
	return infer.CheckResponse[PasswordArgs]{Inputs: args, Failures: failures}, nil
}

// Create draws the password.
func (*RandomPassword) Create(_ context.Context, req infer.CreateRequest[PasswordArgs]) (infer.CreateResponse[PasswordState], error) {
	resp := infer.CreateResponse[PasswordState]{ID: "none", Output: PasswordState{PasswordArgs: req.Inputs}}
	if req.DryRun {
		return resp, nil
	}
	password, err := draw(req.Inputs.Length, req.Inputs.classes())
	if err != nil {
		return resp, err
	}
	hash, err := bcrypt.GenerateFromPassword(password[:min(len(password), bcryptLimit)], bcrypt.DefaultCost)
	if err != nil {
		return resp, fmt.Errorf("hash the password: %w", err)
	}
	resp.Output.Result, resp.Output.BcryptHash = string(password), string(hash)
	return resp, nil
}

// draw takes the demanded characters of each class, fills up from all allowed ones, and shuffles.
func draw(length int, classes []class) ([]byte, error) {
	var password []byte
	var all string
	pick := func(chars string, n int) error {
		for range n {
			i, err := below(len(chars))
			if err != nil {
				return err
			}
			password = append(password, chars[i])
		}
		return nil
	}
	for _, c := range classes {
		if err := pick(c.chars, c.min); err != nil {
			return nil, err
		}
		if c.allowed {
			all += c.chars
		}
	}
	if missing := length - len(password); missing > 0 {
		if all == "" {
			return nil, fmt.Errorf("no characters to choose from for %d of %d places", missing, length)
		}
		if err := pick(all, missing); err != nil {
			return nil, err
		}
	}
	for i := len(password) - 1; i > 0; i-- {
		j, err := below(i + 1)
		if err != nil {
			return nil, err
		}
		password[i], password[j] = password[j], password[i]
	}
	return password, nil
}

// below draws a number from 0 to n-1, each as likely.
func below(n int) (int, error) {
	i, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		return 0, fmt.Errorf("read random bytes: %w", err)
	}
	return int(i.Int64()), nil
}

func isOn(b *bool) bool { return b == nil || *b }

func number(n *int) int {
	if n == nil {
		return 0
	}
	return *n
}
