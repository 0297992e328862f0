//! Images inside the Helm values of the universal chart.

use std::borrow::{Borrow, BorrowMut};

use serde_json::{Value, json};

use super::{ImageReference, Values, waits};

/// The values of the universal chart that define containers besides the main one.
const LISTS: [&str; 3] = ["sidecars", "initContainers", waits::KEY];
/// The key of an image, in the values and in each container.
const IMAGE: &str = "image";

/// A container that the universal chart renders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container<'a> {
    /// The project's own.
    Main,
    /// A sidecar or an init container: the key that lists it, and its name there.
    Beside { list: &'a str, name: &'a str },
}

/// Reads and writes the images in Helm values of the universal chart: those of the main container, of sidecars and of
/// init containers.
#[derive(Debug)]
pub struct ImagesIn<V>(pub V);

impl<V: Borrow<Values>> ImagesIn<V> {
    /// Returns the image of a container; `None` if it has no valid one.
    pub fn of(&self, container: Container<'_>) -> Option<ImageReference> {
        let values = self.0.borrow();
        match container {
            Container::Main => image_of(values),
            Container::Beside { list, name } => image_of(values.get(list)?.get(name)?.as_object()?),
        }
    }

    /// Returns the image of the main container.
    pub fn main(&self) -> Option<ImageReference> {
        self.of(Container::Main)
    }

    /// Returns the images of sidecars and init containers.
    pub fn beside(&self) -> Vec<ImageReference> {
        let containers = LISTS.iter().filter_map(|list| self.0.borrow().get(*list)?.as_object());
        containers.flat_map(Values::values).filter_map(|container| image_of(container.as_object()?)).collect()
    }
}

impl<V: BorrowMut<Values>> ImagesIn<V> {
    /// Sets the image of the main container.
    pub fn set_main(&mut self, image: &ImageReference) {
        write(self.0.borrow_mut(), image);
    }

    /// Sets the image of each container for which `choose` returns one, and returns these images. `choose` receives the
    /// container and its image so far.
    pub fn replace(
        &mut self,
        choose: impl Fn(Container<'_>, Option<&ImageReference>) -> Option<ImageReference>,
    ) -> Vec<ImageReference> {
        let mut chosen = Vec::new();
        let mut visit = |container: Container<'_>, holder: &mut Values| {
            if let Some(image) = choose(container, image_of(holder).as_ref()) {
                write(holder, &image);
                chosen.push(image);
            }
        };
        let values = self.0.borrow_mut();
        visit(Container::Main, values);
        for list in LISTS {
            for (name, container) in values.get_mut(list).and_then(Value::as_object_mut).into_iter().flatten() {
                if let Some(holder) = container.as_object_mut() {
                    visit(Container::Beside { list, name }, holder);
                }
            }
        }
        chosen
    }
}

fn image_of(holder: &Values) -> Option<ImageReference> {
    ImageReference::parse(holder.get(IMAGE)?.as_str()?).ok()
}

fn write(holder: &mut Values, image: &ImageReference) {
    holder.insert(IMAGE.to_owned(), json!(image.to_string()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        let values = json!({
            "image": "shop:1",
            "sidecars": {"logs": {"image": "logs:1"}, "plain": {"command": ["true"]}, "wrong": {"image": {"tag": "x"}}},
            "initContainers": {"wait": {"image": "wait:1"}},
            "other": {"image": "not-a-container:1"},
        });
        serde_json::from_value(values).unwrap()
    }

    fn image(text: &str) -> ImageReference {
        ImageReference::parse(text).unwrap()
    }

    #[test]
    fn every_container_has_its_image() {
        let values = values();
        let images = ImagesIn(&values);
        assert_eq!((images.main(), images.beside()), (Some(image("shop:1")), vec![image("logs:1"), image("wait:1")]));
        assert_eq!(images.of(Container::Beside { list: "initContainers", name: "wait" }), Some(image("wait:1")));
        assert_eq!(images.of(Container::Beside { list: "sidecars", name: "missing" }), None);
        assert_eq!(ImagesIn(&Values::new()).main(), None);
    }

    #[test]
    fn only_chosen_images_are_replaced() {
        let mut replaced = values();
        let next = |_: Container<'_>, found: Option<&ImageReference>| {
            found.filter(|found| found.name() != "wait").map(|found| image(&format!("{}:2", found.name())))
        };
        assert_eq!(ImagesIn(&mut replaced).replace(next), [image("shop:2"), image("logs:2")]);
        let mut expected = values();
        expected["image"] = json!("shop:2");
        expected["sidecars"]["logs"]["image"] = json!("logs:2");
        assert_eq!(replaced, expected);
    }

    #[test]
    fn containers_without_an_image_can_get_one() {
        let mut values = values();
        let of_plain = |container: Container<'_>, _: Option<&ImageReference>| {
            (container == Container::Beside { list: "sidecars", name: "plain" }).then(|| image("plain:1"))
        };
        assert_eq!(ImagesIn(&mut values).replace(of_plain), [image("plain:1")]);
        ImagesIn(&mut values).set_main(&image("shop:3"));
        assert_eq!((&values["sidecars"]["plain"]["image"], &values["image"]), (&json!("plain:1"), &json!("shop:3")));
    }
}
