// SPDX-License-Identifier: GPL-2.0-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "changes.h"

#include "base/text.h"
#include "command.h"

#include <algorithm>
#include <fmt/format.h>
#include <stdexcept>

namespace dmsnap::test {
namespace {

constexpr std::uint64_t longest = 4 << 20;

/// A length between one sector and the longest, short ones as often as long ones.
Bytes random_length(Bytes sector, Random& random)
{
    std::uint64_t bound = sector.count;
    while (bound < longest && random.below(8) != 0)
        bound *= 2;
    return {sector.count * random.between(1, bound / sector.count)};
}

} // namespace

void ChunkSet::add(Bytes position, Bytes length)
{
    for (std::uint64_t i = position.count / chunk_.count; i * chunk_.count < position.count + length.count; ++i)
        add(i);
}

void ChunkSet::add(const ChunkSet& other)
{
    for (std::size_t i = 0; i < chunks_.size(); ++i)
        if (other.chunks_[i])
            add(i);
}

std::size_t ChunkSet::count() const
{
    return static_cast<std::size_t>(std::count(chunks_.begin(), chunks_.end(), true));
}

std::string ChunkSet::not_in(const ChunkSet& other) const
{
    std::vector<std::size_t> missing;
    for (std::size_t i = 0; i < chunks_.size(); ++i)
        if (chunks_[i] && !other.chunks_[i])
            missing.push_back(i);
    return describe_chunks(missing);
}

Range write_at_random(const Disk& disk, Random& random, bool discards)
{
    const Bytes sector = disk.sector();
    const Bytes size = disk.size();
    const Bytes length{std::min(random_length(sector, random).count, size.count)};
    const Bytes position{sector.count * random.below((size.count - length.count) / sector.count + 1)};
    const std::uint64_t how = random.below(4);
    if (how == 0 && discards) {
        if (!disk.discard(position, length))
            throw std::runtime_error("it takes no discards");
        return {position, length};
    }
    if (how <= 1) {
        disk.zero_out(position, length);
        return {position, length};
    }
    Buffer buffer(Bytes{longest});
    const auto bytes = buffer.first(length);
    std::fill(bytes.begin(), bytes.end(), static_cast<std::byte>(random.next()));
    disk.write(position, bytes);
    return {position, length};
}

void Changes::note(const Range& range)
{
    if (!epochs_.empty())
        epochs_.back().chunks.add(range.position, range.length);
}

void Changes::take(const std::string& name) { epochs_.push_back({name, ChunkSet(device_, chunk_)}); }

// What was written after the point stays where it is: it counts for every older point.
void Changes::remove(const std::string& name) { epochs_[index_of(name)].point.clear(); }

std::vector<std::string> Changes::points() const
{
    std::vector<std::string> names;
    for (const Epoch& epoch : epochs_)
        if (!epoch.point.empty())
            names.push_back(epoch.point);
    return names;
}

std::size_t Changes::index_of(const std::string& name) const
{
    for (std::size_t i = 0; i < epochs_.size(); ++i)
        if (epochs_[i].point == name)
            return i;
    throw std::logic_error("no point " + name);
}

std::string Changes::difference(const std::string& since, const std::string& until, std::string_view output) const
{
    ChunkSet wanted(device_, chunk_);
    const std::size_t end = until.empty() ? epochs_.size() : index_of(until);
    for (std::size_t i = index_of(since); i < end; ++i)
        wanted.add(epochs_[i].chunks);
    const ChunkSet got = parse_changed(output, device_, chunk_);
    const std::string left_out = wanted.not_in(got);
    const std::string added = got.not_in(wanted);
    return (left_out.empty() ? "" : "left out: " + left_out + "; ") + (added.empty() ? "" : "added: " + added);
}

std::string changed(const Origin& origin, const std::string& since, const std::string& until)
{
    Arguments arguments = {"changed", "--since", since};
    if (!until.empty())
        arguments.insert(arguments.end(), {"--until", until});
    arguments.push_back(origin.device());
    return tool(arguments);
}

ChunkSet parse_changed(std::string_view output, Bytes device, Bytes chunk)
{
    ChunkSet chunks(device, chunk);
    std::uint64_t end = 0;
    for (std::string_view line : lines(output)) {
        const auto fields = words(line);
        const auto position = fields.size() == 2 ? parse_u64(fields[0]) : std::nullopt;
        const auto length = fields.size() == 2 ? parse_u64(fields[1]) : std::nullopt;
        const bool numbers = position && length && *length > 0 && *position + *length <= device.count;
        if (!numbers || *position % chunk.count != 0 ||
            (*length % chunk.count != 0 && *position + *length != device.count))
            throw std::runtime_error(fmt::format("\"{}\" is not a run of chunks", line));
        if (end != 0 && *position <= end)
            throw std::runtime_error(fmt::format("\"{}\" begins before or at the end of the run before it", line));
        end = *position + *length;
        chunks.add({*position}, {*length});
    }
    return chunks;
}

} // namespace dmsnap::test
