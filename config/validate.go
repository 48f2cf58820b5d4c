package config

import (
	"fmt"
	"net/mail"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"plan-charge/internal/authority"
	"plan-charge/internal/schemaobjects"
	"plan-charge/provider/pgrows"
)

var (
	stackName     = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	regionName    = regexp.MustCompile(`^[a-z]{2}(-[a-z]+)+-[0-9]$`)
	accountID     = regexp.MustCompile(`^[0-9]{12}$`)
	profileName   = regexp.MustCompile(`^[^\s\[\]]+$`)
	roleARN       = regexp.MustCompile(`^arn:aws:iam::([0-9]{12}):role/[A-Za-z0-9/+=,.@_-]+$`)
	instanceClass = regexp.MustCompile(`^db\.[a-z0-9-]+\.[a-z0-9]+$`)
	sqlName       = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)
	tableName     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$]{0,62}(\.[A-Za-z_][A-Za-z0-9_$]{0,62})?$`)
	revisionName  = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`) // by its name: no option, and no number of steps
	columnName    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_$]{0,62}$`)
	variableName  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	secretName    = regexp.MustCompile(`(?i)(PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIALS?|(API|ACCESS|PRIVATE|SIGNING|ENCRYPTION|JWT)_?KEY)$`)
	urlPassword   = regexp.MustCompile(`://[^/@\s]*:[^/@\s]+@`)
	hostName      = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$`)
	uuidText      = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	certificate   = regexp.MustCompile(`^arn:aws:acm:([a-z0-9-]+):[0-9]{12}:certificate/[0-9a-f-]{36}$`)
	secretARN     = regexp.MustCompile(`^arn:aws:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:[A-Za-z0-9/_+=.@-]+$`)
	zoneID        = regexp.MustCompile(`^Z[A-Z0-9]{1,31}$`)
	vpcID         = regexp.MustCompile(`^vpc-[0-9a-f]+$`)
	subnetID      = regexp.MustCompile(`^subnet-[0-9a-f]+$`)
	groupID       = regexp.MustCompile(`^sg-[0-9a-f]+$`)
	plainPath     = regexp.MustCompile(`^/[A-Za-z0-9/_.~-]*$`) // it becomes part of a shell command
	statuses      = regexp.MustCompile(`^([1-5]([0-9]{2}|[xX]{2}))( *, *[1-5]([0-9]{2}|[xX]{2}))*$`)
	headerName    = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")
	strangerName  = regexp.MustCompile(`^\S.*: \S.*\S$`) // what it is on, and what it is
	authorityID   = regexp.MustCompile(`^[a-z][a-z0-9-]+$`)

	// The parts of an image reference, as the distribution specification has them.
	imageRef = regexp.MustCompile(`^([a-zA-Z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?$`)

	retentions = []int{1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}
	methods    = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
	roleNames  = []string{"postgres", "rdsadmin", "rds_superuser", "admin", "user", "public", "none"}
	ours       = []string{"DATABASE_URL", "PORT", "SERVICE_VERSION"}
)

// maxStackName leaves room in a load balancer's 32 characters:
// plan-charge-<stack>-65535.
const maxStackName = 14

func (c *checker) validate(cfg *Config, stack string, given map[string]bool) {
	if !stackName.MatchString(stack) || len(stack) > maxStackName {
		c.mistakes = append(c.mistakes, &Mistake{"stack", strconv.Quote(stack), fmt.Sprintf("a stack name of at most %d lower-case letters, digits and single hyphens, starting with a letter, because it is part of every name in the account", maxStackName), "prod"})
	}
	c.match("region", cfg.Region, regionName)
	c.optional("account", cfg.Account, accountID)
	c.optional("profile", cfg.Profile, profileName)
	c.optional("role", cfg.Role, roleARN)
	if role := roleARN.FindStringSubmatch(cfg.Role); role != nil && cfg.Account != "" && role[1] != cfg.Account && !c.anyBroken("account") {
		c.rejectFor("role", cfg.Role, "a role of "+c.project+":account "+cfg.Account)
	}
	c.image("image", cfg.Image)
	c.passwords(cfg)
	for _, key := range sortedKeys(cfg.Tags) {
		value := cfg.Tags[key]
		if key == "" || len(key) > 128 || len(value) > 256 || strings.HasPrefix(strings.ToLower(key), "aws:") {
			c.reject("tags["+key+"]", value)
		}
	}
	c.network(cfg.Network, given)
	c.database(cfg)
	c.migration(cfg.Migration)
	c.organizations(cfg.Organizations)
	c.service(cfg)
	c.cdn(cfg)
	c.verification(cfg.Verification)
	c.alarms(cfg)
	c.strangers(cfg.Strangers)
}

func (c *checker) image(path, image string) {
	ref := imageRef.FindStringSubmatch(image)
	switch {
	case image == "":
		c.reject(path, description("nothing"))
	case ref == nil || ref[len(ref)-1] == "" && ref[len(ref)-2] == "":
		c.reject(path, image)
	}
}

func (c *checker) passwords(cfg *Config) {
	for key, password := range map[string]string{"ownerPassword": cfg.OwnerPassword, "appPassword": cfg.AppPassword} {
		printable := strings.IndexFunc(password, func(r rune) bool { return r < ' ' || r > '~' }) < 0
		bad := password != "" && (len(password) < 8 || len(password) > 128 || !printable)
		if bad || key == "ownerPassword" && strings.ContainsAny(password, `/@" `) {
			c.reject(key, description(fmt.Sprintf("a secret of %s that does not fit", count(utf8.RuneCountInString(password), "character"))))
		}
	}
	if cfg.OwnerPassword != "" && cfg.OwnerPassword == cfg.AppPassword {
		c.rejectFor("appPassword", description("the owner's password"), "a password of its own: with the owner's, the app could change the schema")
	}
}

func (c *checker) network(n Network, given map[string]bool) {
	lists := map[string][]string{"network.publicSubnetIds": n.PublicSubnetIDs, "network.privateSubnetIds": n.PrivateSubnetIDs}
	if n.Existing() {
		c.match("network.vpcId", n.VPCID, vpcID)
		for _, key := range []string{"cidr", "zones", "nat", "publicCidrs", "privateCidrs"} {
			if path := "network." + key; given[path] {
				c.rejectFor(path, description("a value beside network.vpcId"), "nothing: an existing VPC is used as it is")
			}
		}
		for _, path := range sortedKeys(lists) {
			ids := lists[path]
			if len(ids) < 2 {
				c.reject(path, ids)
			}
			for i, id := range ids {
				if !subnetID.MatchString(id) || slices.Contains(ids[:i], id) {
					c.reject(fmt.Sprintf("%s[%d]", path, i), id)
				}
			}
		}
		return
	}
	for _, path := range sortedKeys(lists) {
		if len(lists[path]) > 0 {
			c.rejectFor(path, lists[path], "nothing, unless network.vpcId names the VPC they are in")
		}
	}
	c.oneOf("network.nat", n.NAT, "one", "each")
	c.between("network.zones", n.Zones, 2, 6)
	if c.anyBroken("network.cidr") {
		return
	}
	block, err := netip.ParsePrefix(n.CIDR)
	if err != nil || !block.Addr().Is4() || block != block.Masked() || !block.Addr().IsPrivate() || block.Bits() < 16 || block.Bits() > 23 {
		c.reject("network.cidr", n.CIDR)
		return
	}
	countable := !c.anyBroken("network.zones")
	if !countable {
		n.Zones = 0 // look at the given blocks only
	}
	public, private := n.Blocks()
	var seen []netip.Prefix
	var names []string
	for _, list := range []struct {
		path   string
		blocks []string
		given  bool
	}{{"network.publicCidrs", public, len(n.PublicCIDRs) > 0}, {"network.privateCidrs", private, len(n.PrivateCIDRs) > 0}} {
		if list.given && countable && len(list.blocks) != n.Zones {
			c.rejectFor(list.path, description(count(len(list.blocks), "block")), fmt.Sprintf("%d blocks, one for each of network.zones", n.Zones))
		}
		for i, text := range list.blocks {
			path := fmt.Sprintf("%s[%d]", list.path, i)
			sub, err := netip.ParsePrefix(text)
			switch {
			case err != nil || !sub.Addr().Is4() || sub != sub.Masked() || sub.Bits() > 27:
				c.reject(path, text)
				continue
			case sub.Bits() < block.Bits() || !block.Contains(sub.Addr()):
				c.rejectFor(path, text, "a block inside network.cidr "+n.CIDR)
				continue
			}
			for j, other := range seen {
				if sub.Overlaps(other) {
					c.rejectFor(path, description(fmt.Sprintf("%q, which overlaps %s %s", text, names[j], other)), "a block that overlaps no other")
				}
			}
			seen, names = append(seen, sub), append(names, path)
		}
	}
}

func (c *checker) database(cfg *Config) {
	d := cfg.Database
	major, minor, _ := strings.Cut(d.Version, ".")
	if n, err := strconv.Atoi(major); err != nil || n < 13 || n > 17 || strings.ContainsFunc(minor, notDigit) || strings.HasSuffix(d.Version, ".") {
		c.reject("database.version", d.Version)
	}
	c.match("database.class", d.Class, instanceClass)
	c.between("database.storage", d.Storage, 20, 65536)
	if d.MaxStorage != 0 && (d.MaxStorage*10 < d.Storage*11 || d.MaxStorage > 65536) && !c.anyBroken("database.storage") {
		c.reject("database.maxStorage", d.MaxStorage)
	}
	c.between("database.backupDays", d.BackupDays, 1, 35)
	c.oneOf("database.onDestroy", d.OnDestroy, "snapshot", "retain", "delete")
	if d.Protect && d.OnDestroy == "delete" && !c.anyBroken("database.protect") {
		c.rejectFor("database.onDestroy", d.OnDestroy, "snapshot or retain while database.protect is true: what is protected does not go without a copy")
	}
	if d.OnDestroy == "retain" && !cfg.Network.Existing() {
		c.rejectFor("database.onDestroy", d.OnDestroy, "snapshot or delete, unless network.vpcId is set: a database that stays would hold a VPC that goes")
	}
	switch identifier := cfg.Names.Name("db"); {
	case d.Replace == "":
	case d.Replace != identifier:
		c.rejectFor("database.replace", d.Replace, "nothing, or "+identifier+", which is deleted with its data and made anew")
	case d.Protect && !c.anyBroken("database.protect"):
		c.rejectFor("database.replace", d.Replace, "nothing while database.protect is true")
	}
	c.optional("database.certificate", d.Certificate, authorityID)
	c.authority(cfg)
	c.match("database.name", d.Name, sqlName)
	for path, name := range map[string]string{"database.owner": d.Owner, "database.app": d.App} {
		if !sqlName.MatchString(name) || slices.Contains(roleNames, name) || strings.HasPrefix(name, "pg_") {
			c.reject(path, name)
		}
	}
	if d.Owner == d.App {
		c.rejectFor("database.app", d.App, "a name that is not the owner's: the app must not be able to change the schema")
	}
	c.between("database.port", d.Port, 1150, 65535)
	c.access(d)
	if d.SessionImage != "" {
		c.image("database.sessionImage", d.SessionImage)
	}
	if d.RecoveryDays != 0 {
		c.between("database.recoveryDays", d.RecoveryDays, 7, 30)
	}
}

// authority checks that there is something to verify the server's certificate with.
func (c *checker) authority(cfg *Config) {
	who := cfg.Database.Authority
	c.oneOf("database.authority", who, authority.RDS, authority.Environment)
	switch {
	case c.anyBroken("database.authority", "region"):
	case who == authority.RDS && !authority.Covers(cfg.Region):
		c.rejectFor("database.authority", who, fmt.Sprintf("%s for %s, whose certificates are not among those in %s, with %s naming the file that AWS publishes for that region",
			authority.Environment, cfg.Region, authority.File, authority.Variable))
	case who == authority.Environment:
		if _, err := authority.Roots(who); err != nil {
			c.rejectFor("database.authority", who, fmt.Sprintf("%s, or %s with a file of certificates (%v)", authority.RDS, authority.Environment, err))
		}
	}
}

// access checks how the database is reached, and that nothing is said about the other way.
func (c *checker) access(d Database) {
	c.oneOf("database.access", d.Access, Session, Direct)
	if d.AccessPort != 0 {
		c.between("database.accessPort", d.AccessPort, 1024, 65535)
	}
	for i, from := range d.Inbound {
		block, err := netip.ParsePrefix(from)
		valid := err == nil && block.Addr().Is4() && block == block.Masked() && block.Bits() > 0 || groupID.MatchString(from)
		if !valid || slices.Contains(d.Inbound[:i], from) {
			c.reject(fmt.Sprintf("database.inbound[%d]", i), from)
		}
	}
	switch d.Access {
	case Session:
		if len(d.Inbound) > 0 {
			c.rejectFor("database.inbound", d.Inbound, "nothing, unless database.access is direct: a session comes from the tasks, which are let in")
		}
	case Direct:
		if d.PreviewReads {
			c.rejectFor("database.previewReads", d.PreviewReads, "false, unless database.access is session: a preview that needs no session always looks")
		}
		if d.AccessPort != 0 {
			c.rejectFor("database.accessPort", d.AccessPort, "0, unless database.access is session")
		}
	}
}

func (c *checker) migration(m Migration) {
	if len(m.Command) == 0 || strings.TrimSpace(m.Command[0]) == "" {
		c.reject("migration.command", m.Command)
	}
	if len(m.Downgrade) == 0 || strings.TrimSpace(m.Downgrade[0]) == "" {
		c.reject("migration.downgrade", m.Downgrade)
	}
	c.optional("migration.downgradeTo", m.DowngradeTo, revisionName)
	switch {
	case m.Image == "":
	case m.DowngradeTo == "":
		c.rejectFor("migration.image", m.Image, "nothing without migration.downgradeTo: forward, the release migrates itself")
	default:
		c.image("migration.image", m.Image)
	}
	if !strings.HasPrefix(m.Directory, "/") || strings.ContainsFunc(m.Directory, unicode.IsControl) {
		c.reject("migration.directory", m.Directory)
	}
	c.match("migration.versionTable", m.VersionTable, tableName)
	c.match("migration.versionColumn", m.VersionColumn, columnName)
	c.fargate("migration", m.CPU, m.Memory)
	c.duration("migration.timeout", m.Timeout)
	c.duration("migration.lockTimeout", m.LockTimeout)
	c.each("migration.ignoreObjects", m.IgnoreObjects, schemaobjects.ValidPattern)
	c.each("migration.accept", m.Accept, schemaobjects.ValidName)
}

func (c *checker) organizations(o Organizations) {
	c.oneOf("organizations.onRemove", o.OnRemove, pgrows.Removals()...)
	first := map[string]int{}
	for i, row := range o.Rows {
		path := fmt.Sprintf("organizations.rows[%d]", i)
		id := strings.ToLower(row.ID)
		if j, twice := first[id]; twice && row.ID != "" {
			c.rejectFor(path+".id", description(fmt.Sprintf("%q, which organizations.rows[%d] has too", row.ID, j)), "")
		} else if !uuidText.MatchString(row.ID) {
			c.reject(path+".id", row.ID)
		} else {
			first[id] = i
		}
		length := utf8.RuneCountInString(row.Name)
		if strings.TrimSpace(row.Name) == "" || length > 255 || !utf8.ValidString(row.Name) || strings.ContainsFunc(row.Name, unicode.IsControl) {
			found := any(row.Name)
			if length > 255 {
				found = description(fmt.Sprintf("a name of %d characters", length))
			}
			c.reject(path+".name", found)
		}
	}
}

func (c *checker) service(cfg *Config) {
	s := cfg.Service
	c.fargate("service", s.CPU, s.Memory)
	c.oneOf("service.architecture", s.Architecture, "X86_64", "ARM64")
	c.between("service.port", s.Port, 1, 65535)
	c.between("service.min", s.Min, 1, 200)
	c.between("service.max", s.Max, 1, 200)
	if s.Max < s.Min && !c.anyBroken("service.min", "service.max") {
		c.rejectFor("service.max", s.Max, fmt.Sprintf("%d (service.min) to 200", s.Min))
	}
	c.between("service.cpuTarget", s.CPUTarget, 10, 90)
	c.match("service.healthPath", s.HealthPath, plainPath)
	switch cmd := s.HealthCommand; {
	case len(cmd) == 0, len(cmd) == 1 && cmd[0] == "NONE", len(cmd) > 1 && (cmd[0] == "CMD" || cmd[0] == "CMD-SHELL"):
	default:
		c.reject("service.healthCommand", cmd)
	}
	c.between("service.healthSeconds", s.HealthSeconds, 5, 300)
	c.between("service.graceSeconds", s.GraceSeconds, 0, 3600)
	c.between("service.drainSeconds", s.DrainSeconds, 0, 3600)
	for _, name := range sortedKeys(s.Environment) {
		path := "service.environment[" + name + "]"
		switch value := s.Environment[name]; {
		case slices.Contains(ours, name) || !variableName.MatchString(name):
			c.reject(path, description("a value for it"))
		case secretName.MatchString(name) || urlPassword.MatchString(value):
			c.rejectFor(path, description("what looks like a secret, in clear"), "nothing secret: put it into Secrets Manager and its ARN under service.secrets")
		}
	}
	for _, name := range sortedKeys(s.Secrets) {
		path := "service.secrets[" + name + "]"
		_, twice := s.Environment[name]
		switch {
		case slices.Contains(ours, name) || !variableName.MatchString(name):
			c.reject(path, description("a value for it"))
		case twice:
			c.rejectFor(path, description("a name that service.environment has too"), "each name once")
		case !secretARN.MatchString(s.Secrets[name]):
			c.rejectFor(path, description("what is not the ARN of a secret"), "")
		}
	}
	if !slices.Contains(retentions, s.LogDays) {
		c.reject("service.logDays", s.LogDays)
	}
	c.duration("service.timeout", s.Timeout)
}

func (c *checker) cdn(cfg *Config) {
	d := cfg.CDN
	c.oneOf("cdn.priceClass", d.PriceClass, "PriceClass_100", "PriceClass_200", "PriceClass_All")
	c.optional("cdn.zoneId", d.ZoneID, zoneID)
	c.optional("cdn.alias", d.Alias, hostName)
	if len(d.Alias) > 253 {
		c.reject("cdn.alias", d.Alias)
	}
	c.arnIn("cdn.certificateArn", d.CertificateARN, "us-east-1")
	c.arnIn("cdn.originCertificateArn", d.OriginCertificateARN, cfg.Region)
	if d.Alias != "" {
		if d.CertificateARN == "" {
			c.rejectFor("cdn.certificateArn", description("nothing"), "the ARN of an ACM certificate in us-east-1 for cdn.alias "+strconv.Quote(d.Alias))
		}
		return
	}
	for path, value := range map[string]string{"cdn.certificateArn": d.CertificateARN, "cdn.originCertificateArn": d.OriginCertificateARN, "cdn.zoneId": d.ZoneID} {
		if value != "" {
			c.rejectFor(path, value, "nothing without cdn.alias, the host name it would serve")
		}
	}
}

func (c *checker) arnIn(path, arn, region string) {
	if m := certificate.FindStringSubmatch(arn); arn != "" && (m == nil || m[1] != region) {
		c.reject(path, arn)
	}
}

func (c *checker) verification(v Verification) {
	c.duration("verification.timeout", v.Timeout)
	c.optional("verification.loginPath", v.LoginPath, plainPath)
	for i, check := range v.Checks {
		path := fmt.Sprintf("verification.checks[%d]", i)
		reads := slices.Contains([]string{"", "GET", "HEAD"}, check.Method)
		if check.Method != "" {
			c.oneOf(path+".method", check.Method, methods...)
		}
		c.path(path+".path", check.Path)
		if check.Body != "" && reads {
			c.reject(path+".body", check.Body)
		}
		if check.Repeat && !reads {
			c.reject(path+".repeat", true)
		}
		for _, name := range sortedKeys(check.Headers) {
			switch {
			case !headerName.MatchString(name) || strings.ContainsAny(check.Headers[name], "\r\n\x00"):
				c.reject(path+".headers["+name+"]", description("a value for it"))
			case strings.EqualFold(name, "Authorization") || strings.EqualFold(name, "Cookie"):
				c.rejectFor(path+".headers["+name+"]", description("what looks like a secret, in clear"), "nothing secret")
			}
		}
		c.match(path+".status", string(check.Status), statuses)
	}
}

func (c *checker) alarms(cfg *Config) {
	a := cfg.Alarms
	for i, email := range a.Emails {
		address, err := mail.ParseAddress(email)
		if err != nil || address.Address != email || slices.Contains(a.Emails[:i], email) {
			c.reject(fmt.Sprintf("alarms.emails[%d]", i), email)
		}
	}
	c.between("alarms.errors5xx", a.Errors5xx, 1, 1_000_000)
	c.between("alarms.cpuPercent", a.CPUPercent, 1, 100)
	if (a.FreeStorageGiB < 1 || a.FreeStorageGiB >= cfg.Database.Storage) && !c.anyBroken("database.storage") {
		c.reject("alarms.freeStorageGiB", a.FreeStorageGiB)
	}
	c.between("alarms.connections", a.Connections, 1, 1_000_000)
}

func (c *checker) strangers(s Strangers) {
	for i, name := range s.Allow {
		if !strangerName.MatchString(name) || slices.Contains(s.Allow[:i], name) {
			c.reject(fmt.Sprintf("strangers.allow[%d]", i), name)
		}
	}
}

// fargate checks a CPU/memory pair against what Fargate has.
func (c *checker) fargate(path string, cpu, memory int) {
	if c.anyBroken(path+".cpu", path+".memory") {
		return
	}
	type bounds struct{ from, to, step int }
	sizes := map[int]bounds{512: {1024, 4096, 1024}, 1024: {2048, 8192, 1024}, 2048: {4096, 16384, 1024}, 4096: {8192, 30720, 1024}, 8192: {16384, 61440, 4096}, 16384: {32768, 122880, 8192}}
	if cpu == 256 {
		if !slices.Contains([]int{512, 1024, 2048}, memory) {
			c.rejectFor(path+".memory", memory, fmt.Sprintf("512, 1024 or 2048 (MiB) with %s.cpu 256", path))
		}
		return
	}
	size, ok := sizes[cpu]
	if !ok {
		c.rejectFor(path+".cpu", cpu, "256, 512, 1024, 2048, 4096, 8192 or 16384 (1024 is one vCPU)")
	} else if memory < size.from || memory > size.to || memory%size.step != 0 {
		c.rejectFor(path+".memory", memory, fmt.Sprintf("%d to %d in steps of %d (MiB) with %s.cpu %d", size.from, size.to, size.step, path, cpu))
	}
}

func (c *checker) match(path, value string, pattern *regexp.Regexp) {
	if !pattern.MatchString(value) {
		c.reject(path, value)
	}
}

func (c *checker) optional(path, value string, pattern *regexp.Regexp) {
	if value != "" {
		c.match(path, value, pattern)
	}
}

func (c *checker) oneOf(path, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		c.reject(path, value)
	}
}

func (c *checker) each(path string, values []string, valid func(string) bool) {
	for i, value := range values {
		if !valid(value) {
			c.reject(fmt.Sprintf("%s[%d]", path, i), value)
		}
	}
}

func (c *checker) between(path string, value, low, high int) {
	if value < low || value > high {
		c.reject(path, value)
	}
}

func (c *checker) path(path, value string) {
	if !strings.HasPrefix(value, "/") || strings.Contains(value, "#") || strings.ContainsFunc(value, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) }) {
		c.reject(path, value)
	}
}

func (c *checker) duration(path string, d time.Duration) {
	if d < 10*time.Second || d > 24*time.Hour {
		c.reject(path, d.String())
	}
}

// anyBroken says whether a rule over several keys would only repeat a mistake.
func (c *checker) anyBroken(paths ...string) bool {
	return slices.ContainsFunc(paths, func(path string) bool { return c.broken[path] })
}

func notDigit(r rune) bool { return r < '0' || r > '9' }
