// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#include "ops/naming.h"

#include "base/error.h"
#include "base/text.h"

#include <algorithm>
#include <fmt/format.h>

namespace dmsnap {
namespace {

constexpr std::string_view base_suffix = "-base";
constexpr std::string_view top_suffix = "-top";
constexpr std::string_view endpoint_suffix = "-end";
constexpr std::string_view leg_suffix = "-leg";
constexpr std::string_view meta_suffix = "-meta";
constexpr std::string_view file_suffix = "-file";
constexpr std::string_view image_name_prefix = "dmsnap-";
constexpr std::string_view set_mark = "-set";

std::string image_uuid_prefix() { return std::string(uuid_prefix) + "SNAP-"; }

bool safe_in_link(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           std::string_view("#+-.:=@_").find(c) != std::string_view::npos;
}

/// The uuid between our prefix and that suffix.
std::optional<Uuid> uuid_before(std::string_view uuid, std::string_view suffix)
{
    if (!uuid.starts_with(uuid_prefix) || !uuid.ends_with(suffix))
        return std::nullopt;
    uuid.remove_prefix(uuid_prefix.size());
    uuid.remove_suffix(suffix.size());
    return Uuid::from_text(uuid);
}

} // namespace

DmName base_name(const Uuid& origin) { return DmName("dmsnap-base-" + origin.id()); }

std::string base_uuid(const Uuid& origin) { return fmt::format("{}{}{}", uuid_prefix, origin.text(), base_suffix); }

std::optional<Uuid> origin_of_base(std::string_view uuid) { return uuid_before(uuid, base_suffix); }

DmName top_name(const Uuid& origin) { return DmName("dmsnap-top-" + origin.id()); }

std::string top_uuid(const Uuid& origin) { return fmt::format("{}{}{}", uuid_prefix, origin.text(), top_suffix); }

bool is_top(std::string_view uuid) { return uuid.starts_with(uuid_prefix) && uuid.ends_with(top_suffix); }

DmName endpoint_name(const Uuid& redirect) { return DmName("dmsnap-end-" + redirect.id()); }

std::string endpoint_uuid(const Uuid& redirect)
{
    return fmt::format("{}{}{}", uuid_prefix, redirect.text(), endpoint_suffix);
}

std::optional<Uuid> redirect_of_endpoint(std::string_view uuid) { return uuid_before(uuid, endpoint_suffix); }

DmName leg_name(const Uuid& redirect) { return DmName("dmsnap-leg-" + redirect.id()); }

std::string leg_uuid(const Uuid& redirect) { return fmt::format("{}{}{}", uuid_prefix, redirect.text(), leg_suffix); }

DmName meta_name(const Uuid& redirect) { return DmName("dmsnap-meta-" + redirect.id()); }

std::string meta_uuid(const Uuid& redirect) { return fmt::format("{}{}{}", uuid_prefix, redirect.text(), meta_suffix); }

std::optional<Uuid> redirect_of_mirror(std::string_view uuid)
{
    const auto redirect = uuid_before(uuid, leg_suffix);
    return redirect ? redirect : uuid_before(uuid, meta_suffix);
}

DmName store_name(const Uuid& store) { return DmName("dmsnap-store-" + store.id()); }

std::string store_uuid(const Uuid& store) { return fmt::format("{}{}-store", uuid_prefix, store.text()); }

DmName file_name(const Uuid& store) { return DmName("dmsnap-file-" + store.id()); }

std::string file_uuid(const Uuid& store) { return fmt::format("{}{}{}", uuid_prefix, store.text(), file_suffix); }

std::optional<Uuid> store_of_file(std::string_view uuid) { return uuid_before(uuid, file_suffix); }

DmName image_name(const PointName& point)
{
    try {
        return DmName(std::string(image_name_prefix) + point.text());
    } catch (const Error& error) {
        throw Error(fmt::format("name \"{}\"", point.text()), "use it for a snapshot",
            "with \"dmsnap-\" in front it is too long for a device", "a name of at most 120 characters")
            .as(Fault::usage);
    }
}

DmName image_name_in_set(const PointName& point, const DmName& origin)
{
    const std::string name = fmt::format("{}{}-{}", image_name_prefix, point.text(), origin.text());
    try {
        return DmName(name);
    } catch (const Error& error) {
        throw Error(fmt::format("name \"{}\"", point.text()), "use it for a set of snapshots",
            fmt::format("\"{}\" is too long for a device", name), "a shorter name")
            .as(Fault::usage);
    }
}

std::string image_uuid(const Uuid& point) { return image_uuid_prefix() + point.text(); }

std::string image_uuid_in_set(const Uuid& point, const DmName& origin)
{
    return fmt::format("{}{}{}", image_uuid(point), set_mark, origin.text().size());
}

std::optional<DmName> origin_of_image_name(std::string_view name, std::string_view uuid)
{
    const auto mark = uuid.rfind(set_mark);
    if (mark == std::string_view::npos || !name.starts_with(image_name_prefix))
        return std::nullopt;
    name.remove_prefix(image_name_prefix.size());
    const auto length = parse_u64(uuid.substr(mark + set_mark.size())).value_or(0);
    // There is a point's name and a '-' before it.
    if (length == 0 || length >= name.size() || length + 1 >= name.size() || name[name.size() - length - 1] != '-')
        return std::nullopt;
    return DmName(std::string(name.substr(name.size() - length)));
}

std::optional<PointName> point_of_image_name(std::string_view name, std::string_view uuid)
{
    if (!name.starts_with(image_name_prefix))
        return std::nullopt;
    const auto origin = origin_of_image_name(name, uuid);
    name.remove_prefix(image_name_prefix.size());
    if (origin)
        name.remove_suffix(origin->text().size() + 1);
    std::string text(name);
    std::replace_if(
        text.begin(), text.end(),
        [](char c) { return !safe_in_link(c) || std::string_view("#:=@").find(c) != std::string_view::npos; }, '_');
    try {
        return PointName(text);
    } catch (const Error&) {
        return std::nullopt;
    }
}

std::optional<Uuid> point_of_image_uuid(std::string_view uuid)
{
    const std::string prefix = image_uuid_prefix();
    if (!uuid.starts_with(prefix))
        return std::nullopt;
    uuid.remove_prefix(prefix.size());
    return Uuid::from_text(uuid.substr(0, uuid.find(set_mark)));
}

std::string link_component(const DmName& device)
{
    std::string text;
    for (char c : device.text())
        text += safe_in_link(c) ? std::string(1, c) : fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    return text == "." || text == ".." ? "_" + text : text;
}

std::string image_link(const PointName& point, const DmName& origin)
{
    return fmt::format("/dev/dmsnap/{}/{}", point.text(), link_component(origin));
}

bool is_link_of(std::string_view link, const DmName& image)
{
    const auto parts = split(link, '/');
    if (parts.size() != 5)
        return false;
    const std::string alone = std::string(image_name_prefix) + std::string(parts[3]);
    return image.text() == alone || link_component(image) == fmt::format("{}-{}", alone, parts[4]);
}

std::optional<DmName> image_of_link(std::string_view link)
{
    const auto parts = split(link, '/');
    if (parts.size() != 5)
        return std::nullopt;
    try {
        return image_name(PointName(std::string(parts[3])));
    } catch (const Error&) {
        return std::nullopt;
    }
}

} // namespace dmsnap
