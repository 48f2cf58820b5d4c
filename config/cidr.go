package config

import (
	"encoding/binary"
	"net/netip"
)

// Blocks gives the blocks of a VPC's subnets, one of each kind a zone:
// the given ones, or sixteenths of the VPC's block — public ones from its
// start, private ones from its middle, so that adding a zone moves none.
func (n Network) Blocks() (public, private []string) {
	block := netip.MustParsePrefix(n.CIDR)
	sixteenth := func(i int) string {
		base := block.Addr().As4()
		start := binary.BigEndian.Uint32(base[:]) + uint32(i)<<(32-block.Bits()-4)
		binary.BigEndian.PutUint32(base[:], start)
		return netip.PrefixFrom(netip.AddrFrom4(base), block.Bits()+4).String()
	}
	public, private = n.PublicCIDRs, n.PrivateCIDRs
	if len(public) == 0 {
		for i := range n.Zones {
			public = append(public, sixteenth(i))
		}
	}
	if len(private) == 0 {
		for i := range n.Zones {
			private = append(private, sixteenth(8+i))
		}
	}
	return public, private
}
