// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "world/store_header.h"

#include "base/error.h"
#include "world/crc32c.h"
#include "world/file.h"
#include "world/signature.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <endian.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

namespace dmsnap {
namespace {

using Raw = interpose_store_header;
static_assert(sizeof(Raw) == INTERPOSE_STORE_HEADER_BYTES);

/// The checksum of the header as it would be with its checksum field 0.
std::uint32_t checksum_of(Raw raw)
{
    raw.checksum = 0;
    return crc32c(std::as_bytes(std::span(&raw, 1)));
}

/// What is wrong with a header that has the magic; empty if nothing is.
std::string complaint_about(const Raw& raw)
{
    if (const std::uint32_t format = le32toh(raw.format); format != INTERPOSE_STORE_FORMAT)
        return fmt::format("dmsnap store of format {}", format);
    if (le32toh(raw.checksum) != checksum_of(raw))
        return "dmsnap store with a wrong checksum in its header";
    if (le64toh(raw.sectors) < INTERPOSE_STORE_SECTORS_MIN || !is_chunk({le32toh(raw.granule_sectors)}))
        return "dmsnap store with impossible sizes in its header";
    return {};
}

} // namespace

StoreHeaderBlock to_block(const StoreHeader& header)
{
    Raw raw = {};
    std::memcpy(raw.magic, INTERPOSE_STORE_MAGIC, sizeof(raw.magic));
    raw.format = htole32(INTERPOSE_STORE_FORMAT);
    std::copy(header.uuid.octets().begin(), header.uuid.octets().end(), raw.uuid);
    raw.created = htole64(header.created);
    raw.sectors = htole64(header.length.count);
    raw.granule_sectors = htole32(static_cast<std::uint32_t>(header.granule.count));
    raw.checksum = htole32(checksum_of(raw));
    return std::bit_cast<StoreHeaderBlock>(raw);
}

StoreHeaderReading parse_store_header(const StoreHeaderBlock& block)
{
    const Raw raw = std::bit_cast<Raw>(block);
    if (std::memcmp(raw.magic, INTERPOSE_STORE_MAGIC, sizeof(raw.magic)) != 0)
        return {};
    if (std::string complaint = complaint_about(raw); !complaint.empty())
        return {std::nullopt, std::move(complaint)};
    Uuid::Octets octets;
    std::copy(std::begin(raw.uuid), std::end(raw.uuid), octets.begin());
    return {
        StoreHeader{Uuid(octets), le64toh(raw.created), {le64toh(raw.sectors)}, {le32toh(raw.granule_sectors)}}, {}};
}

StoreHeaderReading read_store_header(const std::filesystem::path& node)
{
    StoreHeaderBlock block = {};
    const std::size_t length = File::open(node, O_RDONLY).read_at({0}, block);
    return length == block.size() ? parse_store_header(block) : StoreHeaderReading{};
}

void format_store(
    const std::filesystem::path& node, DeviceNumber number, const StoreHeader& header, bool erases_signatures)
{
    const File device = File::open(node, O_RDWR | O_EXCL);
    struct stat facts = {};
    if (fstat(device.fd(), &facts) != 0)
        throw Error(node.string(), "make a store of it", errno);
    if (facts.st_rdev != makedev(number.major, number.minor))
        throw Error(node.string(), "make a store of it", "it leads to another device by now", "again");
    if (erases_signatures)
        erase_signatures(device.fd(), node);
    device.write_at({0}, to_block(header));
    device.sync();
}

} // namespace dmsnap
