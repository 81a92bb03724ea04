//! Values under numbers that are used again, in chunks: nothing moves when there are more.

#[derive(Debug)]
pub(crate) struct Slab<T> {
    chunks: Vec<Vec<Place<T>>>,
    /// The free place that is used next.
    free: Option<u32>,
    held: usize,
}

#[derive(Debug)]
enum Place<T> {
    Held(T),
    /// And the free one after it.
    Free(Option<u32>),
}

const CHUNK: u32 = 256;

impl<T> Default for Slab<T> {
    fn default() -> Slab<T> {
        Slab { chunks: Vec::new(), free: None, held: 0 }
    }
}

impl<T> Slab<T> {
    /// How many are held.
    pub(crate) fn len(&self) -> usize {
        self.held
    }

    fn place(&self, number: u32) -> Option<&Place<T>> {
        self.chunks.get((number / CHUNK) as usize)?.get((number % CHUNK) as usize)
    }

    fn place_mut(&mut self, number: u32) -> Option<&mut Place<T>> {
        self.chunks.get_mut((number / CHUNK) as usize)?.get_mut((number % CHUNK) as usize)
    }

    pub(crate) fn find(&self, number: u32) -> Option<&T> {
        match self.place(number)? {
            Place::Held(value) => Some(value),
            Place::Free(_) => None,
        }
    }

    pub(crate) fn find_mut(&mut self, number: u32) -> Option<&mut T> {
        match self.place_mut(number)? {
            Place::Held(value) => Some(value),
            Place::Free(_) => None,
        }
    }

    pub(crate) fn insert(&mut self, value: T) -> u32 {
        self.held += 1;
        if let Some(number) = self.free {
            let place = self.place_mut(number).expect("a free place is there");
            match std::mem::replace(place, Place::Held(value)) {
                Place::Free(next) => self.free = next,
                Place::Held(_) => unreachable!("it is free"),
            }
            return number;
        }
        if self.chunks.last().is_none_or(|last| last.len() == CHUNK as usize) {
            self.chunks.push(Vec::with_capacity(CHUNK as usize));
        }
        let full = self.chunks.len() - 1;
        let last = &mut self.chunks[full];
        let number = full * CHUNK as usize + last.len();
        last.push(Place::Held(value));
        u32::try_from(number).expect("a pool is limited far below 2^32")
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let free = self.free;
        let place = self.place_mut(number)?;
        match std::mem::replace(place, Place::Free(free)) {
            Place::Held(value) => {
                self.free = Some(number);
                self.held -= 1;
                Some(value)
            }
            Place::Free(next) => {
                *place = Place::Free(next);
                None
            }
        }
    }

    /// Those that are held under a number from this one on.
    pub(crate) fn from(&self, from: u32) -> impl Iterator<Item = (u32, &T)> {
        let chunks = (from / CHUNK..).zip(self.chunks.iter().skip((from / CHUNK) as usize));
        let places = chunks.flat_map(|(chunk, places)| (chunk * CHUNK..).zip(places));
        places.filter_map(move |(number, place)| match place {
            Place::Held(value) if number >= from => Some((number, value)),
            Place::Held(_) | Place::Free(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_used_again() {
        let mut slab = Slab::default();
        let numbers: Vec<u32> = (0..600_u64).map(|value| slab.insert(value)).collect();
        assert_eq!(numbers, (0..600).collect::<Vec<_>>());
        assert_eq!(slab.remove(300), Some(300));
        assert_eq!((slab.remove(300), slab.remove(600), slab.find(300)), (None, None, None));
        assert_eq!(slab.remove(7), Some(7));
        assert_eq!(slab.len(), 598);
        assert!(slab.from(299).map(|(number, _)| number).take(2).eq([299, 301]));
        assert_eq!([slab.insert(1), slab.insert(2), slab.insert(3)], [7, 300, 600]);
        assert_eq!(slab.find(300), Some(&2));
        *slab.find_mut(300).expect("it is held") = 4;
        assert_eq!(slab.from(0).count(), 601);
        assert_eq!(slab.from(300).next(), Some((300, &4)));
    }
}
