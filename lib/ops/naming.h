// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
/// \file
/// What devices of dmsnap are called; the other names in the world are other people's.
#pragma once

#include "base/names.h"
#include "base/uuid.h"

#include <optional>
#include <string>
#include <string_view>

namespace dmsnap {

/// Every device-mapper uuid of ours starts with it.
inline constexpr std::string_view uuid_prefix = "DMSNAP-";

/// "dmsnap-base-ID", "DMSNAP-U-base": holds the table an origin had, where that is no single linear line, or
/// leads to its live device past the hook.
DmName base_name(const Uuid& origin);
std::string base_uuid(const Uuid& origin);
/// The origin a base's uuid speaks of.
std::optional<Uuid> origin_of_base(std::string_view uuid);

/// "dmsnap-top-ID", "DMSNAP-U-top": holds the interposer of a live device whose own table is not ours.
DmName top_name(const Uuid& origin);
std::string top_uuid(const Uuid& origin);
/// Whether the uuid is a top's, of whatever origin.
bool is_top(std::string_view uuid);

/// "dmsnap-end-ID", "DMSNAP-U-end": the endpoint of a redirect, which has the table that stands in a live device's
/// place.
DmName endpoint_name(const Uuid& redirect);
std::string endpoint_uuid(const Uuid& redirect);
/// The redirect an endpoint's uuid speaks of.
std::optional<Uuid> redirect_of_endpoint(std::string_view uuid);

/// "dmsnap-leg-ID", "DMSNAP-U-leg": what the endpoint's mirror takes for its second device.
DmName leg_name(const Uuid& redirect);
std::string leg_uuid(const Uuid& redirect);
/// "dmsnap-meta-ID", "DMSNAP-U-meta": where it writes about itself.
DmName meta_name(const Uuid& redirect);
std::string meta_uuid(const Uuid& redirect);
/// The redirect that the uuid of either speaks of.
std::optional<Uuid> redirect_of_mirror(std::string_view uuid);

/// "dmsnap-store-ID", "DMSNAP-S-store"
DmName store_name(const Uuid& store);
std::string store_uuid(const Uuid& store);
/// "dmsnap-file-ID", "DMSNAP-S-file": the blocks of the file that such a store is.
DmName file_name(const Uuid& store);
std::string file_uuid(const Uuid& store);
/// The store that the uuid of the latter speaks of.
std::optional<Uuid> store_of_file(std::string_view uuid);

/// "dmsnap-NAME", or of a point in a set "dmsnap-NAME-DEVICE".  Throws Error (Fault::usage) for a point's name that is too
/// long for a device's.
DmName image_name(const PointName& point);
DmName image_name_in_set(const PointName& point, const DmName& origin);
/// "DMSNAP-SNAP-POINT", or of a point in a set "DMSNAP-SNAP-POINT-setN", N telling how long its origin's name is: what is
/// left when nobody knows that any more.
std::string image_uuid(const Uuid& point);
std::string image_uuid_in_set(const Uuid& point, const DmName& origin);
/// What an image's name and uuid say; nothing if they are not of this form.  What no point's name can have is a '_'.
std::optional<PointName> point_of_image_name(std::string_view name, std::string_view uuid);
/// Of an image in a set: what its origin was called when it was made.
std::optional<DmName> origin_of_image_name(std::string_view name, std::string_view uuid);
std::optional<Uuid> point_of_image_uuid(std::string_view uuid);

/// A device-mapper name as a part of a path: what udev would not take in a link is \xNN.
std::string link_component(const DmName& device);
/// "/dev/dmsnap/NAME/DEVICE"
std::string image_link(const PointName& point, const DmName& origin);
/// The image of a point by itself that such a link leads to; nothing if it is not of this form.
std::optional<DmName> image_of_link(std::string_view link);
/// Whether such a link is that image's, in a set or by itself.
bool is_link_of(std::string_view link, const DmName& image);

} // namespace dmsnap
