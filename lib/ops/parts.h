// SPDX-License-Identifier: LGPL-2.1-or-later
// SPDX-FileCopyrightText: 2026 The dmsnap authors
#pragma once

#include "ops/facts.h"
#include "plan/step.h"

#include <optional>
#include <string>
#include <vector>

namespace dmsnap {

// Parts that several operations' plans have in common.

/// Throws Error, with who has it open, unless the image can be removed; Fault::in_use if that may pass in a moment.
void require_unused(const ImageState& image);
/// Throws Error if more filesystems lie on the device than can be frozen.
void require_freezable(const Candidate& candidate, const std::string& operation);
/// Whether some old data in a store can be read.
bool has_valid_snapshots(const OriginState& origin);
/// What the image of a snapshot is called, or will be.
DmName image_name_of(const OriginState& origin, const Point& point);
std::string image_uuid_of(const OriginState& origin, const Point& point);
/// Throws Error if a snapshot on another device has the name, unless it is one of `set`.
void require_name_unique(const Machine& machine, const OriginState* origin, const PointName& name,
    const std::optional<Uuid>& set, const std::string& subject, const std::string& operation);
/// Throws Error unless a point of the origin, or of a device to be attached (nullptr), may have the name.
void require_name_free(
    const OriginState* origin, const PointName& name, const std::string& subject, const std::string& operation);
/// Throws Error if there is a device of the name that an image would have.
void require_image_free(
    const Machine& machine, const DmName& image, const std::string& subject, const std::string& operation);
/// An image, and the links to it that no udevd removes.
Plan plan_remove_image(const Machine& machine, const ImageState& image);
/// Closes the stores that are files and stand on a base.
Plan plan_close_files_on(const Machine& machine, DeviceNumber base);
/// Where in its origin that origin's store lies; empty if it does not, nothing if it cannot be told.
std::optional<std::vector<Run>> where_inside(const Machine& machine, const OriginState& origin, const Uuid& store);
/// A private device, with what it takes to remove it.
NewDevice as_found(const DeviceState& device);
/// Closes the store if no origin but those `leaving` keeps data there.
Plan plan_close_store(const Machine& machine, const std::vector<const OriginState*>& leaving, const Uuid& store);
/// Closes them all if the only origin there is leaves: a module of another interface does not say who uses which.
Plan plan_close_all_stores(const Machine& machine);

} // namespace dmsnap
