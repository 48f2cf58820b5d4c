package toolchain_test

import (
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"

	"plan-charge/tools/toolchain"
)

// The bridged plugins are older than the SDKs that the program is written with, so the SDKs have properties that the
// plugins do not know. They are listed here, one by one: a property that is missing and not listed fails, as does one
// that is listed and not missing, and a program that sets a listed one. Keys are Pulumi type names of resources, data
// sources and object types.
var missing = map[string][]string{
	"aws:cloudfront/DistributionDefaultCacheBehavior:DistributionDefaultCacheBehavior": {"grpcConfig"},
	"aws:cloudfront/DistributionOrderedCacheBehavior:DistributionOrderedCacheBehavior": {"grpcConfig"},
	"aws:cloudfront/DistributionOrigin:DistributionOrigin":                             {"vpcOriginConfig"},
	"aws:cloudfront/cachePolicy:CachePolicy":                                           {"arn"},
	"aws:cloudfront/originRequestPolicy:OriginRequestPolicy":                           {"arn"},
	"aws:cloudfront/responseHeadersPolicy:ResponseHeadersPolicy":                       {"arn"},
	"aws:ec2/eip:Eip":                 {"ipamPoolId"},
	"aws:ec2/vpcEndpoint:VpcEndpoint": {"resourceConfigurationArn", "serviceNetworkArn", "serviceRegion"},
	"aws:ecs/ServiceVolumeConfigurationManagedEbsVolume:ServiceVolumeConfigurationManagedEbsVolume": {"tagSpecifications", "volumeInitializationRate"},
	"aws:ecs/service:Service":               {"availabilityZoneRebalancing", "vpcLatticeConfigurations"},
	"aws:ecs/taskDefinition:TaskDefinition": {"enableFaultInjection"},
	"aws:index/ProviderEndpoint:ProviderEndpoint": {
		"billing",
		"codeconnections",
		"dsql",
		"evs",
		"invoicing",
		"mediapackagevod",
		"mgn",
		"notifications",
		"notificationscontacts",
		"s3tables",
		"ssmquicksetup",
		"taxsettings",
		"timestreamquery",
	},
	"aws:lb/ListenerMutualAuthentication:ListenerMutualAuthentication": {"advertiseTrustStoreCaNames"},
	"aws:lb/listener:Listener": {
		"routingHttpRequestXAmznMtlsClientcertHeaderName",
		"routingHttpRequestXAmznMtlsClientcertIssuerHeaderName",
		"routingHttpRequestXAmznMtlsClientcertLeafHeaderName",
		"routingHttpRequestXAmznMtlsClientcertSerialNumberHeaderName",
		"routingHttpRequestXAmznMtlsClientcertSubjectHeaderName",
		"routingHttpRequestXAmznMtlsClientcertValidityHeaderName",
		"routingHttpRequestXAmznTlsCipherSuiteHeaderName",
		"routingHttpRequestXAmznTlsVersionHeaderName",
		"routingHttpResponseAccessControlAllowCredentialsHeaderValue",
		"routingHttpResponseAccessControlAllowHeadersHeaderValue",
		"routingHttpResponseAccessControlAllowMethodsHeaderValue",
		"routingHttpResponseAccessControlAllowOriginHeaderValue",
		"routingHttpResponseAccessControlExposeHeadersHeaderValue",
		"routingHttpResponseAccessControlMaxAgeHeaderValue",
		"routingHttpResponseContentSecurityPolicyHeaderValue",
		"routingHttpResponseServerEnabled",
		"routingHttpResponseStrictTransportSecurityHeaderValue",
		"routingHttpResponseXContentTypeOptionsHeaderValue",
		"routingHttpResponseXFrameOptionsHeaderValue",
		"tcpIdleTimeoutSeconds",
	},
	"aws:lb/loadBalancer:LoadBalancer":                       {"enableZonalShift", "ipamPools", "minimumLoadBalancerCapacity"},
	"aws:rds/instance:Instance":                              {"databaseInsightsMode", "name"},
	"aws:route53/healthCheck:HealthCheck":                    {"triggers"},
	"aws:sns/topic:Topic":                                    {"fifoThroughputScope"},
	"postgresql:index/ProviderClientcert:ProviderClientcert": {"sslinline"},
	"postgresql:index/defaultPrivileges:DefaultPrivileges":   {"withGrantOption"},
	"postgresql:index/extension:Extension":                   {"createCascade", "dropCascade"},
	"postgresql:index/grant:Grant":                           {"columns", "objects"},
	"postgresql:index/role:Role":                             {"assumeRole", "idleInTransactionSessionTimeout"},
	"pulumi:providers:postgresql": {
		"awsRdsIamAuth",
		"awsRdsIamProfile",
		"awsRdsIamRegion",
		"azureIdentityAuth",
		"azureTenantId",
		"scheme",
	},
}

// extra lists what the plugin offers and the SDK does not: properties dropped upstream in between. No Go program can set
// them.
var extra = map[string][]string{}

// TestParity compares the bridged plugins' names and shapes with those of the SDKs, for each type that a plugin serves:
// the resource's or data source's token, its inputs, its outputs and, in turn, the object types in them, and the
// provider's own configuration. Each type that the program uses must be among them.
func TestParity(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the bridged plugins")
	}
	root, err := toolchain.Repository()
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range []struct{ name, sdk string }{
		{"aws", "github.com/pulumi/pulumi-aws/sdk/v6/go/aws"},
		{"postgresql", "github.com/pulumi/pulumi-postgresql/sdk/v3/go/postgresql"},
	} {
		t.Run(pkg.name, func(t *testing.T) {
			text, err := toolchain.Schema(context.Background(), os.Stderr, pkg.name)
			if err != nil {
				t.Fatal(err)
			}
			var s schema
			if err := json.Unmarshal(text, &s); err != nil {
				t.Fatal(err)
			}
			p := &parity{t: t, schema: s, sdk: sdk{root: root, path: pkg.sdk, packages: map[string]*sdkPackage{}}, done: map[string]bool{}}
			uses := findUses(t, root, pkg.sdk)
			if len(uses.resources) == 0 {
				t.Fatalf("found no use of %s in the program: the test looks in the wrong place", pkg.sdk)
			}
			for _, tok := range sorted(s.Resources) {
				p.resource(tok)
			}
			for _, tok := range sorted(s.Functions) {
				p.function(tok)
			}
			p.compare("pulumi:providers:"+pkg.name, p.sdk.load(t, ""), "providerArgs", s.Provider.InputProperties)
			for _, name := range sorted(uses.resources) {
				if _, ok := s.Resources[p.token(name)]; !ok {
					t.Errorf("the program uses %s (%s), which the plugin does not have: add it to its list of types", name, p.token(name))
				}
			}
			for _, name := range sorted(uses.functions) {
				if _, ok := s.Functions[p.token(name)]; !ok {
					t.Errorf("the program calls %s (%s), which the plugin does not have: add it to its list of data sources", name, p.token(name))
				}
			}
			p.unusedExceptions(pkg.name)
			for _, set := range uses.fields {
				p.mayBeSet(set)
			}
			t.Logf("compared %d resource types, %d data sources and %d object types; the program uses %d and %d",
				len(s.Resources), len(s.Functions), p.objects, len(uses.resources), len(uses.functions))
		})
	}
}

// schema is the part of a Pulumi package schema that names things.
type schema struct {
	Resources map[string]struct {
		InputProperties map[string]typeSpec
		Properties      map[string]typeSpec
	}
	Provider  struct{ InputProperties map[string]typeSpec }
	Functions map[string]struct {
		Inputs, Outputs struct{ Properties map[string]typeSpec }
	}
	Types map[string]struct{ Properties map[string]typeSpec }
}

type typeSpec struct {
	Type                 string
	Ref                  string `json:"$ref"`
	Items                *typeSpec
	AdditionalProperties *typeSpec
	OneOf                []typeSpec
}

type parity struct {
	t       *testing.T
	schema  schema
	sdk     sdk
	done    map[string]bool
	objects int
	// known has the properties of each Go struct that was compared, to judge what the program sets.
	known map[string]map[string]typeSpec
	used  map[string]bool // exceptions that were needed
}

func (p *parity) resource(tok string) {
	pkg, name := p.goName(tok)
	if name == "" {
		p.t.Errorf("%s is in the plugin and not in the SDK: is its module or name wrong?", tok)
		return
	}
	p.compare(tok, pkg, lowerFirst(name)+"Args", p.schema.Resources[tok].InputProperties)
	p.compare(tok, pkg, lowerFirst(name)+"State", p.schema.Resources[tok].Properties)
}

func (p *parity) function(tok string) {
	pkg, name := p.goName(tok)
	if name == "" {
		p.t.Errorf("%s is in the plugin and not in the SDK: is its module or name wrong?", tok)
		return
	}
	f := p.schema.Functions[tok]
	if pkg.structs[name+"Args"] != nil {
		p.compare(tok, pkg, name+"Args", f.Inputs.Properties)
	}
	p.compare(tok, pkg, name+"Result", f.Outputs.Properties)
}

// goName finds the SDK's package and Go name of a token such as aws:ec2/vpc:Vpc.
func (p *parity) goName(tok string) (*sdkPackage, string) {
	dir, _, _ := strings.Cut(strings.Split(tok, ":")[1], "/")
	if dir == "index" {
		dir = ""
	}
	pkg := p.sdk.load(p.t, dir)
	for name, t := range pkg.tokens {
		if t == tok {
			return pkg, name
		}
	}
	return pkg, ""
}

// token is the other way round, for package.Name.
func (p *parity) token(name string) string {
	pkg, member := p.split(name)
	return pkg.tokens[member]
}

func (p *parity) split(name string) (*sdkPackage, string) {
	dir, member, _ := strings.Cut(name, ".")
	return p.sdk.load(p.t, dir), member
}

// compare compares one struct of the SDK with the plugin's properties, and then the types of the fields.
func (p *parity) compare(where string, pkg *sdkPackage, name string, props map[string]typeSpec) {
	fields := pkg.structs[name]
	if fields == nil {
		p.t.Errorf("%s: the SDK's package %s has no struct %s", where, pkg.dir, name)
		return
	}
	if p.known == nil {
		p.known, p.used = map[string]map[string]typeSpec{}, map[string]bool{}
	}
	p.known[pkg.dir+"."+name] = props
	for _, field := range sorted(fields) {
		f := fields[field]
		spec, ok := props[field]
		switch listed := slices.Contains(missing[where], field); {
		case !ok && listed:
			p.used[where+" "+field] = true
		case !ok:
			p.t.Errorf("%s: the SDK (%s) has property %q, the plugin does not", where, name, field)
		default:
			p.shape(where+"."+field, pkg, f, spec)
		}
	}
	for _, field := range sorted(props) {
		if _, ok := fields[field]; ok || field == "id" {
			continue
		}
		if slices.Contains(extra[where], field) {
			p.used[where+" "+field] = true
			continue
		}
		p.t.Errorf("%s: the plugin has property %q, the SDK (%s) does not", where, field, name)
	}
}

// shape compares a field's type: a list for a list, an object for an object.
func (p *parity) shape(where string, pkg *sdkPackage, goType ast.Expr, spec typeSpec) {
	switch g := goType.(type) {
	case *ast.StarExpr:
		p.shape(where, pkg, g.X, spec)
	case *ast.ArrayType:
		if spec.Type != "array" || spec.Items == nil {
			p.t.Errorf("%s is a list in the SDK and %s in the plugin", where, spec)
			return
		}
		p.shape(where, pkg, g.Elt, *spec.Items)
	case *ast.MapType:
		if spec.Type != "object" || spec.AdditionalProperties == nil {
			p.t.Errorf("%s is a map in the SDK and %s in the plugin", where, spec)
			return
		}
		p.shape(where, pkg, g.Value, *spec.AdditionalProperties)
	case *ast.InterfaceType: // the SDK takes several kinds
	case *ast.Ident:
		scalar := map[string]string{"string": "string", "int": "integer", "bool": "boolean", "float64": "number"}
		if want, ok := scalar[g.Name]; ok {
			if spec.Type != want && spec.Ref == "" && len(spec.OneOf) == 0 {
				p.t.Errorf("%s is %s in the SDK and %s in the plugin", where, want, spec)
			}
			return
		}
		if pkg.structs[g.Name] == nil {
			return // an enumeration, which is a string to the plugin
		}
		ref, ok := strings.CutPrefix(spec.Ref, "#/types/")
		if !ok {
			p.t.Errorf("%s is an object (%s) in the SDK and %s in the plugin", where, g.Name, spec)
			return
		}
		if p.done[pkg.dir+"."+g.Name] {
			return
		}
		p.done[pkg.dir+"."+g.Name] = true
		p.objects++
		p.compare(ref, pkg, g.Name, p.schema.Types[ref].Properties)
	}
}

func (s typeSpec) String() string {
	switch {
	case s.Ref != "":
		return s.Ref
	case s.Type == "array" && s.Items != nil:
		return "a list of " + s.Items.String()
	case s.Type == "":
		return "of several kinds"
	}
	return s.Type
}

// unusedExceptions keeps the lists of exceptions true.
func (p *parity) unusedExceptions(pkg string) {
	for _, list := range []map[string][]string{missing, extra} {
		for _, where := range sorted(list) {
			for _, field := range list[where] {
				if strings.HasPrefix(where, pkg+":") && !p.used[where+" "+field] {
					p.t.Errorf("%s %q is listed as an exception and is none: take it off the list", where, field)
				}
			}
		}
	}
}

// mayBeSet fails when the program sets what the plugin does not know: it would be dropped without a word.
func (p *parity) mayBeSet(set fieldUse) {
	pkg, name := p.split(set.typ)
	plain := strings.TrimSuffix(name, "Args")
	for _, candidate := range []string{lowerFirst(plain) + "Args", plain, name} {
		fields, props := pkg.structs[candidate], p.known[pkg.dir+"."+candidate]
		if fields == nil || props == nil {
			continue
		}
		tag := pkg.tags[candidate][set.field]
		if _, ok := props[tag]; !ok {
			p.t.Errorf("%s: sets %s.%s (%q), which the bridged plugin does not know", set.at, set.typ, set.field, tag)
		}
		return
	}
}

// sdk reads the Go source of a Pulumi SDK.
type sdk struct {
	root, path string
	packages   map[string]*sdkPackage
}

// sdkPackage has the structs of one package by name and property, and the tokens by Go name.
type sdkPackage struct {
	dir     string
	structs map[string]map[string]ast.Expr
	tags    map[string]map[string]string // struct, Go field: property
	tokens  map[string]string
}

var (
	registers = regexp.MustCompile(`(?s)func New(\w+)\(ctx \*pulumi\.Context,.*?ctx\.RegisterResource\("([^"]+)"`)
	invokes   = regexp.MustCompile(`(?s)\nfunc (\w+)\(ctx \*pulumi\.Context,[^\n]*opts \.\.\.pulumi\.InvokeOption\) \(\*\w+Result, error\) \{.*?ctx\.Invoke\("([^"]+)"`)
)

func (s *sdk) load(t *testing.T, dir string) *sdkPackage {
	t.Helper()
	if p := s.packages[dir]; p != nil {
		return p
	}
	list := exec.Command("go", "list", "-f", "{{.Dir}}", s.path+"/"+dir)
	list.Dir = s.root
	out, err := list.Output()
	if err != nil {
		t.Fatalf("find the SDK's package %s/%s: %v", s.path, dir, err)
	}
	p := &sdkPackage{dir: dir, structs: map[string]map[string]ast.Expr{}, tags: map[string]map[string]string{}, tokens: map[string]string{}}
	s.packages[dir] = p
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, re := range []*regexp.Regexp{registers, invokes} {
			for _, m := range re.FindAllSubmatch(text, -1) {
				p.tokens[string(m[1])] = string(m[2])
			}
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if st, ok := spec.Type.(*ast.StructType); ok {
					p.addStruct(spec.Name.Name, st)
				}
			}
			return true
		})
	}
	return p
}

func (p *sdkPackage) addStruct(name string, st *ast.StructType) {
	fields, tags := map[string]ast.Expr{}, map[string]string{}
	for _, f := range st.Fields.List {
		if f.Tag == nil || len(f.Names) != 1 {
			continue
		}
		raw, _ := strconv.Unquote(f.Tag.Value)
		if tag := reflect.StructTag(raw).Get("pulumi"); tag != "" {
			fields[tag] = f.Type
			tags[f.Names[0].Name] = tag
		}
	}
	if len(fields) > 0 {
		p.structs[name], p.tags[name] = fields, tags
	}
}

// uses is what the program takes from an SDK: package.Name of resources and data sources, and fields it sets.
type uses struct {
	resources, functions map[string]bool
	fields               []fieldUse
}

type fieldUse struct{ typ, field, at string }

// findUses reads the program's sources.
func findUses(t *testing.T, root, sdkPath string) uses {
	t.Helper()
	u := uses{resources: map[string]bool{}, functions: map[string]bool{}}
	var files []string
	for _, pattern := range []string{"main.go", "infra/*.go", "schema/*.go", "schema/*/*.go"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		packages := map[string]string{} // name in this file: folder in the SDK
		for _, spec := range file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			dir, ok := strings.CutPrefix(imported, sdkPath)
			if !ok || (dir != "" && dir[0] != '/') {
				continue
			}
			local := imported[strings.LastIndex(imported, "/")+1:]
			if spec.Name != nil {
				local = spec.Name.Name
			}
			packages[local] = strings.TrimPrefix(dir, "/")
		}
		member := func(e ast.Expr) (string, string, bool) {
			sel, ok := e.(*ast.SelectorExpr)
			if !ok {
				return "", "", false
			}
			x, ok := sel.X.(*ast.Ident)
			if !ok {
				return "", "", false
			}
			dir, ok := packages[x.Name]
			return dir, sel.Sel.Name, ok
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				dir, name, ok := member(n.Fun)
				switch {
				case !ok || name == "NewProvider":
				case strings.HasPrefix(name, "New"):
					u.resources[dir+"."+strings.TrimPrefix(name, "New")] = true
				case strings.HasPrefix(name, "Lookup") || strings.HasPrefix(name, "Get"):
					u.functions[dir+"."+strings.TrimSuffix(name, "Output")] = true
				}
			case *ast.CompositeLit:
				dir, name, ok := member(n.Type)
				if !ok {
					return true
				}
				for _, e := range n.Elts {
					if kv, ok := e.(*ast.KeyValueExpr); ok {
						if key, ok := kv.Key.(*ast.Ident); ok {
							at := fset.Position(kv.Pos())
							u.fields = append(u.fields, fieldUse{dir + "." + name, key.Name, fmt.Sprintf("%s:%d", filepath.Base(at.Filename), at.Line)})
						}
					}
				}
			}
			return true
		})
	}
	return u
}

func sorted[V any](m map[string]V) []string {
	keys := slices.Collect(maps.Keys(m))
	sort.Strings(keys)
	return keys
}

func lowerFirst(s string) string { return strings.ToLower(s[:1]) + s[1:] }
