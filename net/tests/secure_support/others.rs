//! Records that other processors seal and open.

use super::*;
use storage::arithmetic::Arithmetic;
use storage::simulation::SimOthers;

/// Both ends over a pipe that holds `room` bytes, with others that finish what they seal and open in any order.
async fn met_with_others(seed: u64, room: usize) -> (Far, Far) {
    let others = Rc::new(SimOthers::new(seed, 1 + seed as usize % 12));
    let means = [1, 2].map(|number| means(number).helped_by(Arithmetic::elsewhere(others.clone())));
    spawn_local(async move {
        loop {
            others.work_once();
            tokio::task::yield_now().await;
        }
    });
    let (server, client) = meet_by(&caller(CLIENT), &Here::new(), |_| true, room, means).await;
    (server.ok().unwrap(), client.ok().unwrap())
}

/// Reads to the end, in pieces of odd lengths, and gives up every third read that does not end at once.
async fn read_all(reader: &mut (impl Read<Error = ChannelError> + Unpin)) -> Result<Vec<u8>, ChannelError> {
    let (mut all, mut piece) = (Vec::new(), vec![0; 40_000]);
    for turn in 0.. {
        let len = 1 + turn * 7919 % 40_000;
        let read = reader.read(&mut piece[..len]);
        let count = match (turn % 3, pin!(read)) {
            (0, mut read) => match futures_util::poll!(read.as_mut()) {
                std::task::Poll::Ready(count) => count?,
                std::task::Poll::Pending => {
                    tokio::task::yield_now().await;
                    continue;
                }
            },
            (_, read) => read.await?,
        };
        all.extend_from_slice(&piece[..count]);
        if count == 0 {
            break;
        }
    }
    Ok(all)
}

#[test]
fn records_that_others_finish_in_any_order_arrive_in_theirs() {
    run(async {
        let words: Vec<u8> = (0..300_000u32).map(|at| (at.wrapping_mul(at) >> 7) as u8).collect();
        for seed in 0..24 {
            let (mut server, mut client) =
                met_with_others(seed, [700, 50_000, 1 << 20][seed as usize % 3]).await;
            let send = async {
                let (mut rest, mut turn) = (words.as_slice(), seed as usize);
                while !rest.is_empty() {
                    // Long and short ones: some are sealed and opened by others, some here.
                    let len = [3, 70_000, 4096, 16_384, 20_000, 100][turn % 6].min(rest.len());
                    client.writer.write_all(&rest[..len]).await.unwrap();
                    (rest, turn) = (&rest[len..], turn + 1);
                }
                client.writer.close(&TestClock::new(), Duration::from_secs(5)).await;
            };
            let ((), received) = tokio::join!(send, read_all(&mut server.reader));
            assert_eq!(received, Ok(words.clone()), "seed {seed}");
        }
    });
}

#[test]
fn what_others_opened_before_the_stream_was_cut_off_is_had() {
    run(async {
        for seed in 0..8 {
            let (server, mut client) = met_with_others(seed, 1 << 20).await;
            let Secured { reader, mut writer, .. } = server;
            writer.write_all(&[7; 50_000]).await.unwrap();
            drop((reader, writer));
            let mut content = vec![0; 50_000];
            client.reader.read_exact(&mut content).await.unwrap();
            assert_eq!(content, [7; 50_000]);
            let cut_off = client.reader.read(&mut content).await;
            assert_eq!(cut_off, Err(ChannelError::Tls(TlsError::Truncated)), "seed {seed}");
        }
    });
}
